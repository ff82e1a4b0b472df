//! What the temporary credentials of one upload allow: writing its objects, whole or in parts, and nothing else. They cannot
//! read, list or delete, not even what they wrote.

use serde_json::json;

use super::Provider;

/// S3's actions for writing one object. `PutObject` is also that of starting, filling and completing an upload in parts.
const S3_ACTIONS: [&str; 3] = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"];
/// The same in OSS.
const OSS_ACTIONS: [&str; 3] = ["oss:PutObject", "oss:AbortMultipartUpload", "oss:ListParts"];

/// A session policy as JSON: what the role allows and this, too, is allowed.
pub(super) fn policy(provider: Provider, region: &str, bucket: &str, keys: &[&str]) -> String {
    let (version, actions, store) = match provider {
        Provider::Ali => ("1", OSS_ACTIONS, "acs:oss:*:*".to_owned()),
        Provider::Aws => ("2012-10-17", S3_ACTIONS, format!("arn:{}:s3::", partition(region))),
        Provider::Minio => ("2012-10-17", S3_ACTIONS, "arn:aws:s3::".to_owned()),
    };
    let objects: Vec<_> = keys.iter().map(|key| format!("{store}:{bucket}/{key}")).collect();
    let allowed = json!({ "Effect": "Allow", "Action": actions, "Resource": objects });
    json!({ "Version": version, "Statement": [allowed] }).to_string()
}

/// AWS has clouds that know nothing of each other, each with a name of its own in ARNs.
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// Whether a key means one object in a policy: `*`, `?` and `${…}` would mean others, too.
pub(crate) fn is_literal(key: &str) -> bool {
    !key.contains(['*', '?', '$', '\\']) && !key.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_policy_names_the_objects_of_the_upload_and_allows_nothing_but_writing_them() {
        for (provider, region, resource, action) in [
            (Provider::Minio, "us-east-1", "arn:aws:s3:::logs/p/a \"b\".tar", "s3:PutObject"),
            (Provider::Aws, "eu-central-1", "arn:aws:s3:::logs/p/a \"b\".tar", "s3:PutObject"),
            (Provider::Aws, "cn-north-1", "arn:aws-cn:s3:::logs/p/a \"b\".tar", "s3:PutObject"),
            (Provider::Aws, "us-gov-west-1", "arn:aws-us-gov:s3:::logs/p/a \"b\".tar", "s3:PutObject"),
            (Provider::Ali, "cn-hangzhou", "acs:oss:*:*:logs/p/a \"b\".tar", "oss:PutObject"),
        ] {
            let text = policy(provider, region, "logs", &["p/a \"b\".tar", "p/c.tar"]);
            let policy: Value = serde_json::from_str(&text).unwrap();
            let [statement] = &**policy["Statement"].as_array().unwrap() else { panic!("{text}") };
            assert_eq!(statement["Effect"], "Allow");
            assert_eq!(statement["Resource"][0], resource);
            assert_eq!(statement["Resource"].as_array().unwrap().len(), 2);
            assert_eq!(statement["Action"][0], action);
            let allowed = statement["Action"].to_string();
            assert!(!["Get", "Delete", "ListB", "*"].iter().any(|other| allowed.contains(other)), "{allowed}");
            // AWS takes 2,048 characters at most.
            assert!(text.len() < 1_000, "{text}");
        }
    }

    #[test]
    fn a_key_that_would_mean_others_is_told_from_one_that_does_not() {
        assert!(is_literal("dockgate/8UUXN3D00A1B2C/2026-01-01T00:00:00Z dock.tar"));
        for key in ["a/*", "a/?", "a/${aws:username}", "a\\b", "a\nb"] {
            assert!(!is_literal(key), "{key}");
        }
    }
}
