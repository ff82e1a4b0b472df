//! `dockgate logs`, from the terminal to the object.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use dockgate::cloud_api;
use dockgate::sim::{Outcome, Plan, RealUploads};
use serde_json::{Value, json};

use super::common::{Broker, Publish, Wire, eventually, get};
use super::moto::Moto;
use super::{connect, endless, plan};

fn logs(http: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command.arg("logs").args(arguments).args(["--server", &format!("http://{http}")]).stdin(Stdio::null());
    command
}

async fn finished(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn real(seed: u64) -> Plan {
    plan(seed, |plan| plan.real = Some(RealUploads { shrink: 50 }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_listed_as_a_table_or_as_json() {
    let broker = Broker::start(|_| {});
    let plan = plan(31, |_| {});
    let (_dock, _) = connect(&broker, &plan).await;
    let listed = finished(logs(broker.http, &["list", &plan.gateway])).await;
    assert!(listed.status.success(), "{listed:?}");
    let table = text(&listed.stdout);
    let count: usize = plan.logs.iter().map(|logs| logs.boots.len()).sum();
    assert_eq!(table.lines().count(), count + 1, "{table}");
    for boot in plan.logs.iter().flat_map(|logs| &logs.boots) {
        assert!(table.contains(&format!(" {} ", boot.boot_index)), "{table}");
    }
    let listed = finished(logs(broker.http, &["list", &plan.gateway, "--module", "dock", "--json"])).await;
    let json: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(json["listed"][0]["module"], "3");
    let nobody = finished(logs(broker.http, &["list", "NOBODY"])).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("gateway NOBODY is not connected"), "{nobody:?}");
    let nowhere = finished(logs(SocketAddr::from(([127, 0, 0, 1], 1)), &["list", &plan.gateway])).await;
    assert!(text(&nowhere.stderr).contains("give --server"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_logs_are_pulled_into_the_store_and_their_fingerprints_are_those_of_the_objects() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let plan = real(32);
    let (_dock, _) = connect(&broker, &plan).await;
    let pulled = finished(logs(broker.http, &["pull", &plan.gateway, "--module", "3", "--last", "2"])).await;
    assert!(pulled.status.success(), "{pulled:?}");
    let said = text(&pulled.stdout);
    let [line] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    let [key, size, fingerprint] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let object = moto.read(key).unwrap();
    assert_eq!((md5(&object).as_str(), object.len().to_string().as_str()), (fingerprint, size));
    let mut archive = tar::Archive::new(&*object);
    assert_eq!(archive.entries().unwrap().count(), 2, "two logs");
    let ledger: Value = serde_json::from_str(&get(broker.http, "/api/v1/uploads?state=ended")).unwrap();
    assert_eq!(
        (&ledger["uploads"][0]["outcome"], &ledger["uploads"][0]["files"][0]["fingerprint"]),
        (&"ok".into(), &fingerprint.into())
    );

    let newest = plan.logs[0].boots.last().unwrap().boot_index.to_string();
    let pulled = finished(logs(broker.http, &["pull", &plan.gateway, "--module", "0", "--boot", &newest])).await;
    assert!(pulled.status.success() && text(&pulled.stdout).contains("/aircraft.tar\t"), "{pulled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_cancels_what_the_dock_is_doing() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let plan = endless(33);
    let (_dock, _) = connect(&broker, &plan).await;
    let mut command = logs(broker.http, &["pull", &plan.gateway]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let uploads = |query: &str| -> Value {
        serde_json::from_str(&get(broker.http, &format!("/api/v1/uploads?{query}"))).unwrap()
    };
    eventually("it runs", || uploads("state=running")["uploads"][0]["state"] == "active");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    eventually("it is canceled", || uploads("state=ended")["matching"] == 1);
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!(uploads("state=ended")["uploads"][0]["outcome"], "canceled");
}

#[test]
fn ctrl_c_before_the_dock_has_answered_cancels_what_it_begins() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let mut dock = Wire::subscriber(broker.mqtt, "SN1", &[(&cloud_api::services("SN1"), 1)]);
    let (replies, events) = (cloud_api::services_reply("SN1"), cloud_api::events("SN1"));
    let mut command = logs(broker.http, &["pull", "SN1", "--module", "3"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut answer = |pid, expected: &str, data: Value, before: &dyn Fn()| {
        let asked = dock.expect_publish();
        dock.complete(&asked);
        let mut message: Value = serde_json::from_slice(&asked.payload).unwrap();
        assert_eq!(message["method"], expected);
        before();
        message["data"] = data;
        dock.publish(&Publish::new(&replies, message.to_string()).qos(1, pid));
        message["bid"].clone()
    };
    let file = json!({ "boot_index": 7, "start_time": 1, "end_time": 2, "size": 3 });
    let list = json!({ "result": 0, "files": [{ "module": "3", "device_sn": "", "result": 0, "list": [file] }] });
    answer(1, "fileupload_list", list, &|| ());
    let interrupt =
        || assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let bid = answer(2, "fileupload_start", json!({ "result": 0 }), &interrupt);
    answer(3, "fileupload_update", json!({ "result": 0 }), &|| ());
    let output = json!({ "status": "canceled", "ext": { "files": [] } });
    let over = json!({ "bid": bid, "tid": "p", "timestamp": 1, "method": "fileupload_progress", "need_reply": 0,
        "gateway": "SN1", "data": { "result": 0, "output": output } });
    dock.publish(&Publish::new(&events, over.to_string()).qos(1, 4));
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_is_said_and_the_exit_code_tells() {
    let Some(moto) = Moto::get() else { return };
    let broker = Broker::start(|settings| settings.object_store = moto.settings());
    let failing = plan(34, |plan| plan.outcome = Outcome::Fail { code: 324_019, at_percent: 40 });
    let (_dock, _) = connect(&broker, &failing).await;
    let failed = finished(logs(broker.http, &["pull", &failing.gateway])).await;
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    assert!(text(&failed.stderr).contains("failed with 324019: Network anomaly"), "{failed:?}");
    let unknown = finished(logs(broker.http, &["pull", &failing.gateway, "--module", "3", "--boot", "99999"])).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    assert!(text(&unknown.stderr).contains("lists no log 99999"), "{unknown:?}");
    let rejecting = plan(35, |plan| plan.outcome = Outcome::Reject { code: 325_012 });
    let (_dock, _) = connect(&broker, &rejecting).await;
    let rejected = finished(logs(broker.http, &["pull", &rejecting.gateway])).await;
    assert!(text(&rejected.stderr).contains("325012: Aircraft is not connected"), "{rejected:?}");
    for wrong in [
        &["pull", "SN", "--boot", "1"][..],
        &["pull", "SN", "--last", "0"],
        &["list", "a/../b"],
        &["list"],
        &["pull", "SN", "--module", "1"],
    ] {
        assert_eq!(finished(logs(broker.http, wrong)).await.status.code(), Some(2), "{wrong:?}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command.args(["logs", "list", "SN", "--server", "localhost:9641"]).stdin(Stdio::null());
    let no_url = finished(command).await;
    assert!(no_url.status.code() == Some(2) && text(&no_url.stderr).contains("http://"), "{no_url:?}");
    let no_token = finished(logs(broker.http, &["list", "SN", "--token-file", "/nonexistent"])).await;
    assert!(text(&no_token.stderr).contains("/nonexistent: the token cannot be read"), "{no_token:?}");
}
