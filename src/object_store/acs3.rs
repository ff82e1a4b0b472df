//! Alibaba Cloud's signature of version 3, ACS3-HMAC-SHA256
//! (<https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>).

use super::canonical::{CanonicalRequest, hex, hmac_sha256};
use super::keys::KeyPair;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

/// The value of the Authorization header.
pub(super) fn authorization(keys: &KeyPair, request: &CanonicalRequest<'_>) -> String {
    let to_sign = format!("{ALGORITHM}\n{}", request.digest());
    let signature = hex(hmac_sha256(keys.secret_access_key.expose(), to_sign.as_bytes()).as_ref());
    let (id, headers) = (keys.id(), request.signed_headers());
    format!("{ALGORITHM} Credential={id},SignedHeaders={headers},Signature={signature}")
}

#[cfg(test)]
mod tests {
    use super::super::canonical::sha256;
    use super::*;

    /// The example with fixed parameters on the page above.
    #[test]
    fn the_published_example_gets_the_published_signature() {
        let keys = KeyPair { access_key_id: "YourAccessKeyId".into(), secret_access_key: "YourAccessKeySecret".into() };
        let nothing = sha256(b"");
        let request = CanonicalRequest {
            method: "POST",
            path: "/",
            query: &[("RegionId", "cn-shanghai"), ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd")],
            headers: &[
                ("host", "ecs.cn-shanghai.aliyuncs.com"),
                ("x-acs-action", "RunInstances"),
                ("x-acs-content-sha256", &nothing),
                ("x-acs-date", "2023-10-26T10:22:32Z"),
                ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
                ("x-acs-version", "2014-05-26"),
            ],
            payload: &nothing,
        };
        assert_eq!(request.digest(), "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259");
        assert_eq!(
            authorization(&keys, &request),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
             x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }
}
