//! A store that speaks S3, IAM and STS: moto (<https://docs.getmoto.org>), which checks every signature with the signer of
//! AWS's own library, and every session token. It takes no notice of session policies.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use dockgate::config::{ObjectStoreSettings, Provider};
use dockgate::object_store::{Endpoint, KeyPair, sigv4};
use dockgate::secret::Secret;
use ureq::Agent;

pub(crate) const BUCKET: &str = "dock-logs";

/// A running server with a bucket, a user who may assume a role and read the bucket, and the role, which may write into it.
pub(crate) struct Moto {
    process: Child,
    pub(crate) endpoint: Endpoint,
    pub(crate) user: KeyPair,
    pub(crate) role: String,
}

impl Moto {
    /// The one server of all tests that run at the same time; `None`, with a word, where it is not installed.
    pub(crate) fn get() -> Option<Arc<Self>> {
        static ONE: Mutex<Weak<Moto>> = Mutex::new(Weak::new());
        let mut one = ONE.lock().unwrap();
        if let Some(running) = one.upgrade() {
            return Some(running);
        }
        let Some(program) = program() else {
            let how =
                "python3 -m venv target/moto && target/moto/bin/pip install -r tests/object_store/requirements.txt";
            assert!(std::env::var_os("CI").is_none(), "moto_server is not installed: {how}");
            eprintln!("moto_server is not installed ({how})");
            return None;
        };
        let started = Arc::new(Self::start(&program));
        *one = Arc::downgrade(&started);
        Some(started)
    }

    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("Running on"))).unwrap().unwrap();
        let url = &line[line.find("http://").unwrap()..];
        let endpoint = Endpoint::parse(url.trim()).unwrap();
        // A pipe that nobody reads would stop it some day.
        std::thread::spawn(move || lines.for_each(drop));
        let mut moto = Self { process, endpoint, user: pair("nobody", "nothing"), role: String::new() };
        moto.set_up();
        moto
    }

    /// Until it is told otherwise, moto asks for no credentials.
    fn set_up(&mut self) {
        let any = r#""Version":"2012-10-17","Statement""#;
        let allow = |actions: &str| format!(r#"{{{any}:[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#);
        let trust = format!(r#"{{{any}:[{{"Effect":"Allow","Principal":{{"AWS":"*"}},"Action":"sts:AssumeRole"}}]}}"#);
        self.ask_iam(&[("Action", "CreateUser"), ("UserName", "dockgate")]);
        let key = self.ask_iam(&[("Action", "CreateAccessKey"), ("UserName", "dockgate")]);
        self.user = pair(element(&key, "AccessKeyId"), element(&key, "SecretAccessKey"));
        let policy = allow(r#""sts:AssumeRole","s3:GetObject""#);
        self.ask_iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", "dockgate"),
            ("PolicyName", "p"),
            ("PolicyDocument", &policy),
        ]);
        let role =
            self.ask_iam(&[("Action", "CreateRole"), ("RoleName", "dock-logs"), ("AssumeRolePolicyDocument", &trust)]);
        element(&role, "Arn").clone_into(&mut self.role);
        let policy = allow(r#""s3:PutObject","s3:AbortMultipartUpload","s3:ListMultipartUploadParts""#);
        self.ask_iam(&[
            ("Action", "PutRolePolicy"),
            ("RoleName", "dock-logs"),
            ("PolicyName", "p"),
            ("PolicyDocument", &policy),
        ]);
        let url = format!("{}/{BUCKET}", self.endpoint.url());
        assert!(client().put(&url).send_empty().unwrap().status().is_success());
        let url = format!("{}/moto-api/reset-auth", self.endpoint.url());
        assert!(client().post(&url).send("0").unwrap().status().is_success());
    }

    fn ask_iam(&self, form: &[(&str, &str)]) -> String {
        // What is signed says which service is meant.
        let scope =
            "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        let request = client().post(format!("{}/", self.endpoint.url())).header("authorization", scope);
        let mut answer = request.send_form(form.iter().copied()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert!(answer.status().is_success(), "{text}");
        text
    }

    /// Settings that work with it.
    pub(crate) fn settings(&self) -> ObjectStoreSettings {
        ObjectStoreSettings {
            provider: Some(Provider::Minio),
            endpoint: Some(self.endpoint.url()),
            bucket: Some(BUCKET.to_owned()),
            access_key_id: Some(self.user.access_key_id.clone()),
            secret_access_key: Some(self.user.secret_access_key.clone()),
            role: Some(self.role.clone()),
            ..ObjectStoreSettings::default()
        }
    }

    /// The object as the user with the long-lived keys reads it, or the status with which it is refused.
    pub(crate) fn read(&self, key: &str) -> Result<Vec<u8>, u16> {
        self.ask("GET", key, &self.user, "", b"")
    }

    /// Reads or writes an object.
    pub(crate) fn ask(
        &self,
        method: &str,
        key: &str,
        keys: &KeyPair,
        token: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, u16> {
        let (endpoint, sha256) = (&self.endpoint, sigv4::sha256(body));
        let request = sigv4::ObjectRequest {
            method,
            endpoint,
            region: "us-east-1",
            bucket: BUCKET,
            key,
            keys,
            security_token: token,
            sha256: &sha256,
        };
        let (url, headers) = request.sign(SystemTime::now());
        let answer = if method == "GET" {
            headers.iter().fold(client().get(&url), |request, (name, value)| request.header(*name, value)).call()
        } else {
            headers.iter().fold(client().put(&url), |request, (name, value)| request.header(*name, value)).send(body)
        };
        let mut answer = answer.unwrap();
        let status = answer.status();
        let body = answer.body_mut().read_to_vec().unwrap();
        if status.is_success() { Ok(body) } else { Err(status.as_u16()) }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

pub(crate) fn pair(id: &str, key: &str) -> KeyPair {
    KeyPair { access_key_id: id.into(), secret_access_key: key.into() }
}

pub(crate) fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.expose()).unwrap()
}

/// `DOCKGATE_TEST_MOTO`, or where the requirements are installed by the lines of the README, or on the path.
fn program() -> Option<PathBuf> {
    let given = std::env::var_os("DOCKGATE_TEST_MOTO").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/moto/bin/moto_server");
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).map(|folder| folder.join("moto_server")).collect::<Vec<_>>());
    given.into_iter().chain([here]).chain(on_path).find(|path| path.is_file())
}

fn client() -> Agent {
    Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent()
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name} in {xml}"));
    rest.split_once('<').unwrap().0
}
