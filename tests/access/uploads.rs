//! Only who may speak as a gateway changes its uploads, and only who may command it starts and cancels them.

use super::common::{Publish, V5, V311, get, metric};
use super::{DOCK, Files, OTHER, client, thing};

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
