//! The ways to MQTT: plain, TLS, WebSocket, both, and behind a load balancer. Real sockets, and certificates made for the
//! test.

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod client;
mod limits;
mod mosquitto;
mod protocols;
mod proxy;
mod reload;
mod tls;
mod websocket;
