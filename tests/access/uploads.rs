//! Only who may speak as a gateway changes its uploads, and only who may command it starts and cancels them.

use super::common::{Connect, Publish, V5, V311, Wire, eventually, get, metric};
use super::{DOCK, FLEET, Files, OTHER, client, password, thing};

const START: &str = include_str!("../seed/fileupload_start.json");

#[test]
fn a_dock_neither_starts_nor_reports_an_upload_of_another() {
    let (_files, broker) = Files::fleet();
    let mut dock = client(&broker, V5, DOCK);
    for (sn, topic, text) in [
        (OTHER, "services", START),
        (DOCK, "services", START),
        (OTHER, "events", include_str!("../seed/fileupload_progress.json")),
        (OTHER, "services_reply", include_str!("../seed/fileupload_start_reply.json")),
    ] {
        assert_eq!(dock.publish(&Publish::new(&thing(sn, topic), text).qos(1, 1)), 0x87, "{sn} {topic}");
    }
    assert_eq!(metric(broker.http, "dockgate_gateways", ""), 0.0);
    client(&broker, V311, "grafana").publish(&Publish::new(&thing(OTHER, "services"), START).qos(1, 1));
    assert_eq!(metric(broker.http, "dockgate_uploads_started_total", ""), 0.0);

    client(&broker, V311, "backend").publish(&Publish::new(&thing(DOCK, "services"), START).qos(1, 1));
    assert_eq!(metric(broker.http, "dockgate_uploads_started_total", ""), 1.0);
    dock.publish(&Publish::new(&thing(DOCK, "events"), include_str!("../seed/fileupload_progress.json")).qos(1, 1));
    let gateway = get(broker.http, &format!("/api/v1/gateways/{DOCK}"));
    assert!(gateway.contains(r#""ended":1"#), "{gateway}");
}

#[test]
fn nobody_keeps_anothers_upload_alive_or_ends_it_by_taking_its_client_identifier() {
    let files = Files::with_users(&[DOCK, OTHER, "backend"]);
    let grace = ("DOCKGATE_UPLOADS__OFFLINE_GRACE", "1s");
    let broker = files.start(&[FLEET[0], FLEET[1], grace]);
    let reply = include_str!("../seed/fileupload_start_reply.json");
    let running = || metric(broker.http, "dockgate_uploads_running", "active");
    let lost = || metric(broker.http, "dockgate_uploads_ended_total", "lost");
    let as_dock = Connect::new(V5, "the dock").login(DOCK, &password(DOCK));
    let mut dock = Wire::connect(broker.mqtt, &as_dock);
    client(&broker, V5, "backend").publish(&Publish::new(&thing(DOCK, "services"), START).qos(1, 1));
    dock.publish(&Publish::new(&thing(DOCK, "services_reply"), reply).qos(1, 1));
    assert_eq!(running(), 1.0);
    dock.leave();
    let thief = Connect::new(V5, "the dock").login(OTHER, &password(OTHER));
    eventually("the session of the dock is gone", || Wire::try_connect(broker.mqtt, &thief).1.code == 0);
    let _thief = Wire::connect(broker.mqtt, &thief);
    eventually("the upload is lost", || lost() == 1.0);
}
