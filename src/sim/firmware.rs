//! What a dock says to a command and to the passing of time: bytes in, bytes out, no socket.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::plan::{Outcome, Plan};
use super::transfer::{News, Transfers};
use super::upload::{PARAMETER_ERROR, Upload};
use crate::cloud_api::{
    self, Event, Header, ListReply, ListRequest, ListedModule, Progress, Reply, Request, ResultCode, StartRequest,
    SubDevice, Topology, UpdateRequest,
};

/// "Operation not supported. Check device status": DJI's demo backend explains it as "device is uploading
/// logs". What a dock really answers to a second start is not published; this code tells a dock's own
/// refusal from the broker's 325009.
pub const BUSY: i64 = 314_000;

/// A dock without its connection.
#[derive(Debug)]
pub struct Firmware {
    plan: Plan,
    upload: Option<Upload>,
}

impl Firmware {
    /// A dock that has just started.
    pub fn new(plan: Plan) -> Self {
        Self { plan, upload: None }
    }

    /// Whether an upload is under way, so that [`Firmware::advance`] has something to tell.
    pub fn is_uploading(&self) -> bool {
        self.upload.is_some()
    }

    /// The topology that a dock tells when it comes online: a Dock 3 (3-3-0) with a Matrice 4TD (0-100-1).
    pub fn topology(&self, now_ms: u64) -> Vec<u8> {
        cloud_api::encode(&Request {
            bid: id(),
            tid: id(),
            timestamp: now_ms,
            method: cloud_api::UPDATE_TOPO.to_owned(),
            data: Topology {
                kind: 3,
                sub_type: 0,
                sub_devices: vec![SubDevice {
                    sn: self.plan.aircraft.clone(),
                    domain: "0".to_owned(),
                    kind: 100,
                    sub_type: 1,
                }],
            },
        })
    }

    /// From now on, uploads go so.
    pub fn set_outcome(&mut self, outcome: Outcome) {
        self.plan.outcome = outcome;
    }

    /// The reply to a command. None for what is no command or no business of the remote log: a dock does
    /// not answer what it does not understand.
    pub fn command(&mut self, payload: &[u8], now_ms: u64) -> Option<Vec<u8>> {
        let header: Header = cloud_api::decode(payload).ok()?;
        let result = |result| encode_reply(&header, ResultCode { result }, now_ms);
        match header.method.as_str() {
            cloud_api::LIST => {
                let Ok(request) = cloud_api::decode::<Request<ListRequest>>(payload) else {
                    return Some(result(PARAMETER_ERROR));
                };
                Some(encode_reply(&header, self.list(&request.data), now_ms))
            }
            cloud_api::START => {
                let Ok(request) = cloud_api::decode::<Request<StartRequest>>(payload) else {
                    return Some(result(PARAMETER_ERROR));
                };
                self.start(&header.bid, &request.data).map(result)
            }
            cloud_api::UPDATE => {
                let Ok(request) = cloud_api::decode::<Request<UpdateRequest>>(payload) else {
                    return Some(result(PARAMETER_ERROR));
                };
                Some(result(self.update(&request.data, now_ms)))
            }
            cloud_api::QUALITY => Some(result(0)),
            _ => None,
        }
    }

    /// Sees to it that what is to be sent is sent, and that nothing else is.
    pub fn settle(&mut self, transfers: &mut Transfers) {
        if let Some(upload) = &mut self.upload {
            transfers.begin(upload.jobs());
        }
        let upload = self.upload.as_ref();
        transfers.keep(|bid, index| upload.is_some_and(|upload| upload.bid() == bid && upload.is_under_way(index)));
    }

    /// Takes note of how far a transfer is. What is about an upload that is over comes too late.
    pub fn note(&mut self, news: News) {
        if let Some(upload) = self.upload.as_mut().filter(|upload| upload.bid() == news.bid) {
            upload.note(news.index, news.what);
        }
    }

    /// Lets `passed` go by and tells how far the upload is. The last event of an upload has its end; of one that
    /// stalls nothing more is told.
    pub fn advance(&mut self, passed: Duration, now_ms: u64) -> Option<Event<Progress>> {
        let upload = self.upload.as_mut()?;
        upload.advance(passed, now_ms);
        if upload.is_stalled() {
            return None;
        }
        let event = Event {
            bid: upload.bid().to_owned(),
            data: upload.progress(),
            method: cloud_api::PROGRESS.to_owned(),
            need_reply: 0,
            tid: id(),
            timestamp: now_ms,
            gateway: self.plan.gateway.clone(),
        };
        if upload.is_over() {
            self.upload = None;
        }
        Some(event)
    }

    /// Breaks the upload off with this code, as a restart does, and tells so.
    pub fn break_off(&mut self, code: i64, now_ms: u64) -> Option<Event<Progress>> {
        self.upload.as_mut()?.break_off(code, now_ms);
        self.advance(Duration::ZERO, now_ms)
    }

    fn list(&self, request: &ListRequest) -> ListReply {
        let wanted = self.plan.logs.iter().filter(|logs| request.module_list.contains(&logs.module));
        let files = wanted
            .map(|logs| ListedModule {
                device_sn: self.plan.device(logs.module).to_owned(),
                list: logs.boots.clone(),
                module: logs.module,
                result: 0,
            })
            .collect();
        ListReply { files, result: 0 }
    }

    /// The result to answer with, unless the plan is not to answer.
    fn start(&mut self, bid: &str, request: &StartRequest) -> Option<i64> {
        if self.upload.is_some() {
            return Some(BUSY);
        }
        if self.plan.outcome == Outcome::Ignore {
            return None;
        }
        match Upload::start(&self.plan, bid, request) {
            Ok(upload) => {
                self.upload = Some(upload);
                Some(0)
            }
            Err(code) => Some(code),
        }
    }

    /// A cancel when nothing runs is no error: the front end of DJI's demo sends it whenever it is told to.
    fn update(&mut self, request: &UpdateRequest, now_ms: u64) -> i64 {
        if request.status != "cancel" {
            return PARAMETER_ERROR;
        }
        if let Some(upload) = &mut self.upload {
            upload.cancel(&request.module_list, now_ms);
        }
        0
    }
}

fn encode_reply<D: Serialize>(header: &Header, data: D, now_ms: u64) -> Vec<u8> {
    cloud_api::encode(&Reply {
        bid: header.bid.clone(),
        data,
        method: header.method.clone(),
        tid: header.tid.clone(),
        timestamp: now_ms,
        gateway: None,
    })
}

/// A new tid or bid, in the shape that DJI's samples have.
fn id() -> String {
    Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud_api::Module;

    const NOW: u64 = 1_780_000_000_000;
    const TICK: Duration = Duration::from_millis(100);

    fn dock() -> Firmware {
        Firmware::new(Plan::from_seed(5, NOW))
    }

    fn start(dock: &Firmware, bid: &str) -> Vec<u8> {
        let boot = dock.plan.logs[0].boots[0].boot_index;
        format!(
            r#"{{"bid":"{bid}","tid":"t","timestamp":1,"method":"fileupload_start","data":{{"bucket":"b",
            "credentials":{{"access_key_id":"i","access_key_secret":"s","expire":0,"security_token":"k"}},
            "endpoint":"e","file_store_dir":"d","file_type":"text_log","provider":"minio","region":"r",
            "params":{{"files":[{{"device_sn":"x","module":"0","object_key":"o","list":[{{"boot_index":{boot}}}]}}]}}}}}}"#
        )
        .into_bytes()
    }

    fn result(reply: Option<Vec<u8>>) -> i64 {
        cloud_api::decode::<Reply<ResultCode>>(&reply.unwrap()).unwrap().data.result
    }

    #[test]
    fn a_list_names_the_logs_of_the_modules_asked_for_and_repeats_tid_and_bid() {
        let command = br#"{"method":"fileupload_list","tid":"t","bid":"b","timestamp":1,"data":{"module_list":["3"]}}"#;
        let reply: Reply<ListReply> = cloud_api::decode(&dock().command(command, NOW).unwrap()).unwrap();
        assert_eq!((reply.tid.as_str(), reply.bid.as_str()), ("t", "b"));
        assert_eq!(reply.data.files.len(), 1);
        assert_eq!(reply.data.files[0].module, Module::Dock);
        assert_eq!(reply.data.files[0].list.len(), 2);
    }

    #[test]
    fn progress_keeps_the_bid_of_the_start_and_has_a_new_tid_each_time() {
        let mut dock = dock();
        let command = start(&dock, "first");
        assert_eq!(result(dock.command(&command, NOW)), 0);
        let (one, two) = (dock.advance(TICK, NOW).unwrap(), dock.advance(TICK, NOW).unwrap());
        assert_eq!((one.bid.as_str(), two.bid.as_str()), ("first", "first"));
        assert_ne!(one.tid, two.tid);
    }

    #[test]
    fn a_second_start_is_answered_busy_until_the_first_has_ended() {
        let mut dock = dock();
        let (first, second) = (start(&dock, "first"), start(&dock, "second"));
        assert_eq!(result(dock.command(&first, NOW)), 0);
        assert_eq!(result(dock.command(&second, NOW)), BUSY);
        for _ in 0..600 {
            if dock.advance(TICK, NOW).is_none() {
                break;
            }
        }
        assert!(!dock.is_uploading());
        assert_eq!(result(dock.command(&second, NOW)), 0);
    }

    #[test]
    fn a_cancel_is_answered_and_the_next_event_is_the_last() {
        let mut dock = dock();
        let command = start(&dock, "first");
        dock.command(&command, NOW);
        let cancel =
            br#"{"method":"fileupload_update","tid":"t","bid":"b","data":{"status":"cancel","module_list":["0","3"]}}"#;
        assert_eq!(result(dock.command(cancel, NOW)), 0);
        let last = dock.advance(TICK, NOW).unwrap();
        assert_eq!((last.bid.as_str(), last.data.output.status.as_str()), ("first", "canceled"));
        assert_eq!(dock.advance(TICK, NOW), None);
    }

    #[test]
    fn a_start_that_is_to_be_ignored_has_no_answer_and_leaves_the_dock_free() {
        let mut dock = dock();
        let (first, second) = (start(&dock, "first"), start(&dock, "second"));
        dock.set_outcome(Outcome::Ignore);
        assert_eq!(dock.command(&first, NOW), None);
        dock.set_outcome(Outcome::Complete);
        assert_eq!(result(dock.command(&second, NOW)), 0);
    }

    #[test]
    fn what_breaks_off_ends_the_upload_at_once_with_a_last_event() {
        let mut dock = dock();
        let (first, second) = (start(&dock, "first"), start(&dock, "second"));
        dock.command(&first, NOW);
        let told = dock.break_off(324_021, NOW).unwrap();
        assert_eq!((told.data.result, told.data.output.status.as_str()), (324_021, "failed"));
        assert_eq!(dock.break_off(324_021, NOW), None);
        assert_eq!(result(dock.command(&second, NOW)), 0);
    }

    #[test]
    fn nothing_is_told_of_an_upload_that_stalls_and_the_dock_stays_busy() {
        let mut dock = dock();
        let (first, second) = (start(&dock, "first"), start(&dock, "second"));
        dock.set_outcome(Outcome::Stall { at_percent: 10 });
        dock.command(&first, NOW);
        let told = (0..600).filter(|_| dock.advance(TICK, NOW).is_some()).count();
        assert!((1..100).contains(&told), "{told} events");
        assert_eq!(result(dock.command(&second, NOW)), BUSY);
    }

    #[test]
    fn what_it_does_not_understand_it_does_not_answer() {
        let mut dock = dock();
        assert_eq!(dock.command(b"not json", NOW), None);
        assert_eq!(dock.command(br#"{"method":"takeoff","tid":"t","bid":"b","data":{}}"#, NOW), None);
        let odd = br#"{"method":"fileupload_start","tid":"t","bid":"b","data":{}}"#;
        assert_eq!(result(dock.command(odd, NOW)), PARAMETER_ERROR);
    }
}
