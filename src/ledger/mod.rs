//! The uploads of every gateway, and the rules that they go by.
//!
//! The ledger is told what a message says ([`Event`]) and when ([`Now`]); it answers whether a start
//! may pass and what is to be counted ([`Effects`]). It has no clock and knows no topic, socket or
//! metric. [`Ledger`] is the part that many threads see; behind it, a gateway is a state machine
//! that is drawn in `gateway.rs`.
//!
//! What the protocol leaves open is decided so:
//!
//! - **Late** events of an upload that the dock has reported as over change nothing. Where only the broker's
//!   clock ended it (unanswered, stalled, lost, or a cancel that had its time), or the dock refused a
//!   sending of its start, and the dock reports it as going on, it takes its slot again if that is free:
//!   the dock is busy, and another start would corrupt both. The same if the dock accepts late.
//! - **A refusal** of one sending of a start frees the slot only when no other sending is open: "busy"
//!   may mean busy with the first. When the reply is due, it counts as rejected.
//! - **Expiry**: under `Policy::Enforce` a start that passes is good until its reply is due
//!   ([`Effects::forward_until`]); one that reaches the dock later would be past the guard.
//! - **Object keys** tell uploads apart: an unknown ending that names another key ends nothing, and neither does
//!   an unknown ending while the dock has not answered.
//! - **Presence**: the client whose id is the serial number decides; else the one that last spoke as the
//!   gateway. Wills show nobody present.
//! - **Adoption**: an event of an unknown upload that is going on takes the slot; one that is
//!   already over only goes into the history. Replies alone adopt nothing.
//! - **Duplicates** are events with the same tid and the same bytes since the last start. The tid
//!   alone says too little: a dock may use one for all progress of an upload.
//! - **`Policy::Observe`** tracks the upload that holds the slot, see [`Policy`].
//! - **Release** frees a slot on an operator's word ([`Ledger::release`]), as a time-out does: a dock that goes on all the
//!   same takes it again.
//! - **A retry** is a start whose whole `data` is the same, by keyed hash. Object keys and the credentials'
//!   expiry are drawn anew for each upload, so two uploads never look the same, and a backend's
//!   retries always do. The order of keys and white space do not count.
//!
//! - **A restart** changes nothing but who is connected, where there is a [`Journal`]: every upload goes on from where it
//!   stood ([`Ledger::restore`]), its time-outs too. A dock that was there counts as gone from then on.
//!
//! Everything a client controls is bounded: texts are cut, files, aliases, lists, history and
//! gateways are counted, and a tenth of the gateways is kept for those that are sent a start. Credentials
//! never get here.

mod answers;
pub mod codes;
mod deadlines;
mod effects;
mod event;
mod gateway;
mod history;
mod journal;
mod lookup;
mod module;
mod observation;
mod presence;
mod rate;
mod record;
mod remembered;
mod requests;
mod restore;
mod room;
mod rules;
mod status;
mod table;
mod text;
mod upload;
mod view;

#[cfg(test)]
mod tests;

pub use effects::{Conflict, Effects};
pub use event::{Body, Digest, Event, ListReply, ListedFile, ListedModule, Progress, ProgressFile, Start, StartFile};
pub use journal::{Journal, Records};
pub use lookup::{Found, Wanted};
pub use module::{Module, Modules, Slots};
pub use observation::{Direction, Method, Observation, Observer, ParseFailure};
pub use restore::{Restored, Unreadable};
pub use rules::{Now, Policy, Rules, Scope};
pub use status::{Outcome, State};
pub use table::Ledger;
pub use view::{AliasView, FileView, GatewayView, ListedView, RefusalView, UploadView};
