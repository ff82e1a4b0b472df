//! The telemetry and events of docks: forms with gaps, filled straight into the buffer that goes to the socket.
//!
//! A form is read once for the whole fleet, and has the same length however it is filled. Fields are those of the
//! Cloud API; lists are as long as it takes to come to the sizes of the recording.

use bytes::{BufMut as _, BytesMut};

use super::stamp::TEXT;
use super::stream::Stream;
use crate::sim::random::Random;

/// What goes into the gaps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    /// The mark: the tid, and where nothing ties messages together also the bid.
    pub(super) mark: [u8; TEXT],
    /// The sender's clock, milliseconds since the epoch.
    pub(super) now_ms: u64,
    /// The dock's serial number, of [`GATEWAY`] characters.
    pub(super) gateway: &'a str,
    /// The aircraft's serial number, of [`AIRCRAFT`] characters.
    pub(super) aircraft: &'a str,
    /// Where figures come from.
    pub(super) draw: u64,
}

/// The length of a Dock 3's serial number.
pub(super) const GATEWAY: usize = 14;
/// The length of an aircraft's serial number.
pub(super) const AIRCRAFT: usize = 20;
/// The digits of a timestamp in milliseconds, until the year 2286.
const TIMESTAMP: usize = 13;

/// A message with gaps.
#[derive(Debug)]
pub(super) struct Form {
    pieces: Vec<Piece>,
    length: usize,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Digit,
    /// The first digit of a number, which is not 0.
    First,
    Mark,
    Now,
    Gateway,
    Aircraft,
}

impl Form {
    /// `~` stands for any digit, `$M` for the mark, `$T` for the timestamp, `$G` and `$A` for serial numbers.
    fn read(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut length = 0;
        let mut is_in_number = false;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let piece = match character {
                '~' if is_in_number => (Piece::Digit, 1),
                '~' => (Piece::First, 1),
                '$' => match characters.next() {
                    Some('M') => (Piece::Mark, TEXT),
                    Some('T') => (Piece::Now, TIMESTAMP),
                    Some('G') => (Piece::Gateway, GATEWAY),
                    _ => (Piece::Aircraft, AIRCRAFT),
                },
                _ => {
                    is_in_number = character.is_ascii_digit() || character == '.';
                    plain.push(character);
                    length += character.len_utf8();
                    continue;
                }
            };
            is_in_number = character == '~';
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(piece.0);
            length += piece.1;
        }
        pieces.push(Piece::Text(plain));
        Self { pieces, length }
    }

    /// Bytes of the message.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Writes the message, of exactly [`Form::length`] bytes.
    pub(super) fn fill(&self, out: &mut BytesMut, fields: &Fields<'_>) {
        let mut random = Random::new(fields.draw);
        let mut digits = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.put_slice(text.as_bytes()),
                Piece::Digit | Piece::First => {
                    // One number is good for many digits.
                    if digits < 100 {
                        digits = random.next();
                    }
                    let digit = if matches!(piece, Piece::First) { 1 + digits % 9 } else { digits % 10 };
                    out.put_u8(b'0' + digit as u8);
                    digits /= 10;
                }
                Piece::Mark => out.put_slice(&fields.mark),
                Piece::Now => {
                    let mut rest = fields.now_ms;
                    let mut text = [b'0'; TIMESTAMP];
                    for digit in text.iter_mut().rev() {
                        *digit += (rest % 10) as u8;
                        rest /= 10;
                    }
                    out.put_slice(&text);
                }
                Piece::Gateway => out.put_slice(fields.gateway.as_bytes()),
                Piece::Aircraft => out.put_slice(fields.aircraft.as_bytes()),
            }
        }
    }
}

/// The forms of all streams that a dock sends by the clock.
#[derive(Debug)]
pub(super) struct Forms {
    of: [Vec<Form>; Stream::DATA],
}

impl Forms {
    /// Reads them all.
    pub(super) fn new() -> Self {
        let forms = |texts: Vec<String>| texts.iter().map(|text| Form::read(text)).collect();
        let of = Stream::ALL.first_chunk().copied().unwrap_or([Stream::DockOsd; Stream::DATA]);
        Self {
            of: of.map(|stream: Stream| match stream {
                Stream::AircraftOsd => forms(vec![telemetry(&listed(AIRCRAFT_OSD, AIRCRAFT_PART, 3600))]),
                Stream::DockOsd => forms(vec![
                    telemetry(DOCK_OSD_NETWORK),
                    telemetry(&listed(DOCK_OSD_JOB, r#"{"type":~,"state":~}"#, 700)),
                    telemetry(&listed(DOCK_OSD_HARDWARE, DOCK_PART, 1220)),
                ]),
                Stream::DockEvents => forms(vec![
                    event("hms", 0, &listed(r#"{"list":[@]}"#, HMS, 300)),
                    event("airsense_warning", 0, &listed("[@]", AIRSENSE, 2000)),
                    event("device_exit_homing_notify", 1, r#"{"action":~,"sn":"$G","reason":~}"#),
                ]),
                Stream::AircraftState => forms(vec![state(0), state(1)]),
                Stream::AircraftEvents => {
                    forms(vec![event("joystick_invalid_notify", 0, r#"{"reason":~}"#)])
                }
                Stream::DockState => forms(vec![telemetry(
                    r#"{"firmware_version":"10.01.~~~~","compatible_status":0,"live_capacity":{"available_video_number":2}}"#,
                )]),
                _ => Vec::new(),
            }),
        }
    }

    /// The form that a message of this stream has by its draw. None for what has no form: those are the messages
    /// of the upload.
    pub(super) fn of(&self, stream: Stream, draw: u64) -> Option<&Form> {
        let forms = self.of.get(stream.index())?;
        let percent = draw % 100;
        let at = match stream {
            Stream::DockOsd => (draw % 3) as usize,
            // 10 of 498 events were acknowledged in the recording. How often aircraft are about is made up so that
            // the mean is the recording's.
            Stream::DockEvents if percent < 2 => 2,
            Stream::DockEvents if percent < 10 => 1,
            // 72 of 151 changes were acknowledged in the recording.
            Stream::AircraftState if percent < 48 => 1,
            _ => 0,
        };
        forms.get(at)
    }
}

fn telemetry(data: &str) -> String {
    format!(r#"{{"bid":"$M","data":{data},"tid":"$M","timestamp":$T,"gateway":"$G"}}"#)
}

fn event(method: &str, need_reply: u8, data: &str) -> String {
    format!(
        r#"{{"bid":"$M","data":{data},"method":"{method}","need_reply":{need_reply},"tid":"$M","timestamp":$T,"gateway":"$G"}}"#
    )
}

fn state(need_reply: u8) -> String {
    format!(
        r#"{{"bid":"$M","data":{AIRCRAFT_STATE},"need_reply":{need_reply},"tid":"$M","timestamp":$T,"gateway":"$G"}}"#
    )
}

/// `data` with so many items in the place of `@` that it has about `length` bytes.
fn listed(data: &str, item: &str, length: usize) -> String {
    let count = (length.saturating_sub(data.len()) / (item.len() + 1)).max(1);
    data.replace('@', &vec![item; count].join(","))
}

const AIRCRAFT_OSD: &str = r#"{"$A":{"gimbal_pitch":-~~.~,"gimbal_roll":0,"gimbal_yaw":1~~.~,"measure_target_altitude":4~~.~~,
"measure_target_distance":~~~.~,"measure_target_latitude":22.90~~~~~~,"measure_target_longitude":113.70~~~~~~,
"measure_target_error_state":0,"payload_index":"89-0-0","thermal_current_palette_style":0,"thermal_gain_mode":2,
"thermal_global_temperature_max":3~.~~~~~~,"thermal_global_temperature_min":1~.~~~~~~,"thermal_isotherm_lower_limit":-20,
"thermal_isotherm_state":0,"thermal_isotherm_upper_limit":150,"zoom_factor":0.56~~~~~~},"activation_time":17~~~~~~~~,
"attitude_head":1~~.~,"attitude_pitch":-~.~,"attitude_roll":~.~,"battery":{"batteries":[{"capacity_percent":8~,"firmware_version":
"08.75.07.17","high_voltage_storage_days":1,"index":0,"loop_times":1~~,"sn":"7W2PM~~~~~~~~","sub_type":3,"temperature":3~.~,
"type":0,"voltage":24~~~}],"capacity_percent":8~,"landing_power":0,"remain_flight_time":18~~,"return_home_power":2~},
"best_link_gateway":"$G","cameras":[{"camera_mode":0,"liveview_world_region":{"bottom":0.5~~~~~~~,"left":0.4~~~~~~~,"right":
0.5~~~~~~~,"top":0.4~~~~~~~},"payload_index":"89-0-0","photo_state":0,"record_time":0,"recording_state":0,"remain_photo_num":
21~~,"remain_record_duration":0,"screen_split_enable":false,"wide_aperture_value":~~~,"wide_iso":~,"zoom_factor":1.5}],
"city_code":"441900","distance_limit_status":{"distance_limit":8000,"is_near_distance_limit":0,"state":0},"elevation":6~.~~~~~~~,
"firmware_upgrade_status":0,"firmware_version":"15.00.~~~~","gear":1,"height":1~~.~~~~~~,"height_limit":120,"home_distance":
3~~.~~~~~~,"home_latitude":22.90~~~~~~,"home_longitude":113.70~~~~~~,"horizontal_speed":1~.~~~~~~,"is_near_area_limit":0,
"is_near_height_limit":0,"latitude":22.90~~~~~~,"longitude":113.70~~~~~~,"maintain_status":{"maintain_status_array":[@]},
"mode_code":5,"night_lights_state":0,"obstacle_avoidance":{"downside":1,"horizon":1,"upside":1},"position_state":{"gps_number":2~,
"is_fixed":2,"quality":5,"rtk_number":3~},"rc_lost_action":2,"rid_state":true,"storage":{"total":61~~~~~~,"used":4~~~~~~},
"total_flight_distance":0,"total_flight_sorties":3~~,"total_flight_time":1~~~~~,"track_id":"","vertical_speed":-~.~,
"wind_direction":3,"wind_speed":4~,"wireless_link_topo":{"center_node":{"sdr_id":15~~~~~~,"sn":"$A"},"leaf_nodes":[{"control_source_index":
1,"sdr_id":28~~~~~~,"sn":"$G","valid":true}],"secret_code":[1~~,~~,9~,1~~,16]}}"#;

const AIRCRAFT_PART: &str = r#"{"last_maintain_flight_sorties":~~,"last_maintain_flight_time":4~~,"last_maintain_time":17~~~~~~~~,"last_maintain_type":1,"state":0}"#;

const DOCK_OSD_NETWORK: &str = r#"{"network_state":{"quality":4,"rate":1~~.~,"type":2},"drone_in_dock":0,"drone_charge_state":{"capacity_percent":8~,"state":0},"rainfall":0,"wind_speed":~.~,"environment_temperature":2~.~,"temperature":2~.~,"humidity":4~,"latitude":22.90~~~~~~}"#;

const DOCK_OSD_JOB: &str = r#"{"job_number":1~~,"acc_time":14~~~~~~,"activation_time":17~~~~~~~~,"electric_supply_voltage":22~,"working_voltage":45~~~,"working_current":1~~~,"backup_battery":{"voltage":26~~~,"temperature":2~.~,"switch":1},"wireless_link":{"dongle_number":0,"4g_link_state":0,"sdr_link_state":1,"link_workmode":0,"sdr_quality":5,"4g_quality":0,"4g_uav_quality":0,"4g_gnd_quality":0,"sdr_freq_band":5.7,"4g_freq_band":0},"maintain_status":{"maintain_status_array":[@]}}"#;

const DOCK_OSD_HARDWARE: &str = r#"{"mode_code":4,"cover_state":1,"supplement_light_state":0,"putter_state":0,"emergency_stop_state":0,"height":3~.~~~~~~,"alternate_land_point":{"height":3~.~~~~~~,"is_configured":1,"latitude":22.90~~~~~~,"longitude":113.70~~~~~~,"safe_land_height":80},"air_conditioner":{"air_conditioner_state":0,"switch_time":~~~},"position_state":{"gps_number":1~,"is_calibration":1,"is_fixed":2,"quality":5,"rtk_number":3~},"storage":{"total":60~~~~~~,"used":1~~~~~~},"sub_device":{"device_model_key":"0-100-1","device_online_status":1,"device_paired":1,"device_sn":"$A"},"drone_battery_maintenance_info":{"maintenance_state":0,"maintenance_time_left":0,"heat_state":0,"batteries":[@]}}"#;

const DOCK_PART: &str = r#"{"index":0,"capacity_percent":8~,"voltage":24~~~,"temperature":2~.~}"#;

const AIRCRAFT_STATE: &str = r#"{"control_source":"A","home_latitude":22.90~~~~~~,"home_longitude":113.70~~~~~~,"low_battery_warning_threshold":20,"serious_low_battery_warning_threshold":10,"wireless_link":{"4g_freq_band":0,"4g_gnd_quality":0,"4g_link_state":0,"dongle_number":0,"link_workmode":0,"sdr_quality":5},"exit_wayline_when_rc_lost":0}"#;

const HMS: &str = r#"{"args":{"component_index":0,"sensor_index":~},"code":"0x1608~~~~","device_type":"0-100-1","imminent":0,"in_the_sky":1,"level":1,"module":3}"#;

const AIRSENSE: &str = r#"{"icao":"B-~~~~","warning_level":3,"latitude":22.90~~~~~~,"longitude":113.70~~~~~~,"altitude":1~~~,"altitude_type":1,"heading":8~.~,"relative_altitude":8~~,"vert_trend":0,"distance":1~~~~}"#;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::schedule::Schedule;
    use super::super::stamp::Stamp;
    use super::*;
    use crate::cloud_api::{self, Reply, Request, ResultCode};

    const STAMP: Stamp = Stamp { run: 1, stream: 2, sender: 3, sequence: 4, micros: 5 };
    const NOW: u64 = 1_780_000_000_000;

    fn fields(draw: u64) -> Fields<'static> {
        let (gateway, aircraft) = ("8UUXN000000001", "1581F000000000000001");
        Fields { mark: STAMP.text(), now_ms: NOW, gateway, aircraft, draw }
    }

    fn filled(form: &Form, draw: u64) -> BytesMut {
        let mut out = BytesMut::new();
        form.fill(&mut out, &fields(draw));
        out
    }

    #[test]
    fn every_form_is_json_with_the_envelope_and_has_the_length_that_it_says() {
        for form in Forms::new().of.iter().flatten() {
            let message = filled(form, 7);
            assert_eq!(message.len(), form.length());
            let json: serde_json::Value = serde_json::from_slice(&message)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&message)));
            assert_eq!(json["timestamp"], NOW);
            assert_eq!(json["gateway"], "8UUXN000000001");
            assert_eq!(json["tid"], STAMP.to_text());
            assert_eq!(Stamp::of_tid(&message), Some(STAMP));
        }
    }

    #[test]
    fn figures_are_by_the_draw() {
        let forms = Forms::new();
        let form = forms.of(Stream::AircraftOsd, 1).unwrap();
        assert_eq!(filled(form, 1), filled(form, 1));
        assert_ne!(filled(form, 1), filled(form, 2));
    }

    #[test]
    fn sizes_are_those_of_the_recording() {
        let forms = Forms::new();
        let length = |stream, draw| forms.of(stream, draw).unwrap().length();
        let near = |length: usize, wanted: usize| length.abs_diff(wanted) * 8 <= wanted;
        for (stream, draw, wanted) in [
            (Stream::AircraftOsd, 0, 3700),
            (Stream::DockOsd, 0, 400),
            (Stream::DockOsd, 1, 850),
            (Stream::DockOsd, 2, 1300),
            (Stream::DockEvents, 50, 500),
            (Stream::DockEvents, 5, 2000),
            (Stream::AircraftState, 0, 500),
            (Stream::AircraftEvents, 0, 200),
        ] {
            let length = length(stream, draw);
            assert!(near(length, wanted), "{stream:?} {draw}: {length} instead of {wanted}");
        }
    }

    /// Messages and bytes of payload a second over ten minutes, with all that is answered.
    fn load(is_flying: bool) -> (f64, f64) {
        let seconds = 600;
        let forms = Forms::new();
        let code = ResultCode { result: 0 };
        let id = STAMP.to_text();
        let method = cloud_api::QUALITY.to_owned();
        let reply = cloud_api::encode(&Reply {
            bid: id.clone(),
            data: code,
            method: method.clone(),
            tid: id.clone(),
            timestamp: NOW,
            gateway: None,
        });
        let command = cloud_api::encode(&Request { bid: id.clone(), tid: id, timestamp: NOW, method, data: code });
        let until = |schedule: Schedule| schedule.take_while(move |due| due.at < Duration::from_secs(seconds));
        let (mut count, mut bytes) = (0, 0);
        for due in until(Schedule::of_dock(1, 1, is_flying)) {
            let form = forms.of(due.stream, due.draw).unwrap();
            let needs_reply = filled(form, due.draw).windows(14).any(|text| text == br#""need_reply":1"#);
            let answer = if needs_reply { (1, reply.len()) } else { (0, 0) };
            count += 1 + answer.0;
            bytes += form.length() + answer.1;
        }
        for _ in Schedule::of_commands(1, 1, is_flying).into_iter().flat_map(until) {
            count += 2;
            bytes += command.len() + reply.len();
        }
        (f64::from(count) / seconds as f64, bytes as f64 / seconds as f64)
    }

    #[test]
    fn a_dock_in_flight_has_about_7_messages_and_5700_bytes_a_second() {
        let (messages, bytes) = load(true);
        assert!((6.6..7.2).contains(&messages), "{messages} messages a second");
        assert!((5400.0..6000.0).contains(&bytes), "{bytes} bytes a second");
    }

    #[test]
    fn an_idle_dock_has_far_less() {
        let (messages, bytes) = load(false);
        assert!((0.1..0.2).contains(&messages), "{messages} messages a second");
        assert!(bytes < 200.0, "{bytes} bytes a second");
    }
}
