//! RMQTT on a port of the loopback address, for ever: a plain broker of MQTT 3.1.1 and 5 with retained messages and
//! shared subscriptions.
//!
//! Settings, chosen to be comparable with the other brokers and no worse than RMQTT's defaults:
//! - Anonymous clients, TCP_NODELAY, no log.
//! - A window of 512 unacknowledged messages (default 16), as Mosquitto gets, and queues that no run fills (default 1000
//!   messages), which cost nothing while they are empty.
//! - No check of the machine's load, which refuses clients while it is high, and a bench's is.
//! - Retained messages in memory and shared subscriptions in turn, by RMQTT's own plugins: without them it drops the
//!   messages and refuses the subscriptions.
//! - The allocator of its own program, jemalloc.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;

use rmqtt::Result;
use rmqtt::context::ServerContext;
use rmqtt::net::Builder;
use rmqtt::server::MqttServer;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const WINDOW: NonZeroU16 = NonZeroU16::new(512).expect("not zero");
const QUEUE_MESSAGES: usize = 10_000_000;

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(port) = port else {
        eprintln!("usage: rmqtt-host PORT");
        std::process::exit(2);
    };
    let context = ServerContext::new().busy_check_enable(false).build().await;
    rmqtt_retainer::register(&context, true, false).await?;
    rmqtt_shared_subscription::register(&context, true, false).await?;
    let listener = Builder::new()
        .name("loopback")
        .laddr(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .allow_anonymous(true)
        .nodelay(true)
        .backlog(4096)
        .max_inflight(WINDOW)
        .max_mqueue_len(QUEUE_MESSAGES)
        .bind()?
        .tcp()?;
    MqttServer::new(context).listener(listener).build().run().await
}
