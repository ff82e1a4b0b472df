//! The upload that runs on each dock while its progress is the load: it is started by the documented messages, and ended.

use std::time::Duration;

use super::BenchError;
use super::client::Client;
use super::payload::PLACE;
use super::wire::{self, PUBACK};
use crate::cloud_api::{
    self, BootIndex, Credentials, Event, FileProgress, Module, Progress, ProgressExt, ProgressFile, ProgressOutput,
    Reply, Request, ResultCode, StartFile, StartParams, StartRequest,
};

/// A broker that takes longer to acknowledge a message of an upload has lost it.
const PATIENCE: Duration = Duration::from_secs(10);

/// MQTT 5's "no matching subscribers", which is no refusal.
const NO_SUBSCRIBERS: u8 = 0x10;

/// Starts the dock's upload: the backend's start and the dock's answer.
pub(super) async fn start(client: &mut Client, gateway: &str) -> Result<(), BenchError> {
    publish(client, &cloud_api::services(gateway), &start_request(gateway)).await?;
    publish(client, &cloud_api::services_reply(gateway), &accepted(gateway)).await
}

/// Ends it, so that another run finds the dock free.
pub(super) async fn end(client: &mut Client, gateway: &str) -> Result<(), BenchError> {
    publish(client, &cloud_api::events(gateway), &progress(gateway, "ok")).await
}

/// Publishes a message at QoS 1 and waits until it is acknowledged.
async fn publish(client: &mut Client, topic: &str, payload: &[u8]) -> Result<(), BenchError> {
    let (mut bytes, identifier, _) = wire::publish(client.version, topic, 1, payload);
    bytes[identifier..identifier + 2].copy_from_slice(&u16::MAX.to_be_bytes());
    client.write(&bytes).await?;
    let late = |_| BenchError::Late { what: "the PUBACK for a message of an upload", within: PATIENCE };
    let ack = tokio::time::timeout(PATIENCE, client.expect(PUBACK)).await.map_err(late)??;
    match ack.get(2) {
        None | Some(0 | &NO_SUBSCRIBERS) => Ok(()),
        Some(code) => Err(client.unexpected(format!("PUBACK {code:#04x} for a message of an upload on {topic}"))),
    }
}

fn bid(gateway: &str) -> String {
    format!("bench-{gateway}")
}

fn object_key(gateway: &str) -> String {
    format!("bench/{gateway}/3.tar")
}

fn start_request(gateway: &str) -> Vec<u8> {
    cloud_api::encode(&Request {
        bid: bid(gateway),
        tid: bid(gateway),
        timestamp: 0,
        method: cloud_api::START.to_owned(),
        data: StartRequest {
            bucket: "bench".to_owned(),
            credentials: Credentials {
                access_key_id: "id".into(),
                access_key_secret: "secret".into(),
                expire: 0,
                security_token: "token".into(),
            },
            endpoint: "https://objects.invalid".to_owned(),
            file_store_dir: "bench".to_owned(),
            file_type: "text_log".to_owned(),
            params: StartParams {
                files: vec![StartFile {
                    device_sn: gateway.to_owned(),
                    list: vec![BootIndex { boot_index: 1 }],
                    module: Module::Dock,
                    object_key: object_key(gateway),
                }],
            },
            provider: "minio".to_owned(),
            region: "us-east-1".to_owned(),
        },
    })
}

fn accepted(gateway: &str) -> Vec<u8> {
    cloud_api::encode(&Reply {
        bid: bid(gateway),
        data: ResultCode { result: 0 },
        method: cloud_api::START.to_owned(),
        tid: bid(gateway),
        timestamp: 0,
        gateway: None,
    })
}

/// `fileupload_progress` of the dock's own logs.
pub(super) fn progress(gateway: &str, status: &str) -> Vec<u8> {
    let is_over = status == "ok";
    let file = ProgressFile {
        module: Module::Dock,
        size: 155_232,
        device_sn: gateway.to_owned(),
        key: object_key(gateway),
        fingerprint: "4f65b891f3bc09bdb6d4c36a996b532d".to_owned(),
        progress: FileProgress {
            current_step: 3,
            total_step: 3,
            progress: if is_over { 100 } else { 40 },
            finish_time: 0,
            upload_rate: 5000,
            result: 0,
            status: if is_over { "ok" } else { "file_uploading" }.to_owned(),
        },
    };
    cloud_api::encode(&Event {
        bid: bid(gateway),
        data: Progress {
            output: ProgressOutput { ext: ProgressExt { files: vec![file] }, status: status.to_owned() },
            result: 0,
        },
        method: cloud_api::PROGRESS.to_owned(),
        need_reply: 0,
        tid: PLACE.to_owned(),
        timestamp: 0,
        gateway: gateway.to_owned(),
    })
}
