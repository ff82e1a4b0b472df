use super::*;
use crate::access::password::{Cost, Hash};
use crate::access::{Door, Login, Secret};
use bytestring::ByteString;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

const OPEN: Door = Door { anonymous: true, role: None };
const CLOSED: Door = Door { anonymous: false, role: None };

/// Users `dock-1` and `dock-2`, with their names reversed as passwords.
fn docks() -> Authentication {
    let line = |user: &str| format!("{user}:{}\n", Hash::new(password_of(user).as_bytes(), Cost::Sha512));
    Authentication::new(Some(Passwords::of(&(line("dock-1") + &line("dock-2")))))
}

fn password_of(user: &str) -> String {
    user.chars().rev().collect()
}

fn login(client_id: &str, username: Option<&str>, password: Option<&str>, door: Door) -> Login {
    Login {
        client_id: client_id.into(),
        username: username.map(ByteString::from),
        password: password.map(|password| Secret::new(password.into())),
        certificate_name: None,
        address: IpAddr::from([192, 0, 2, 1]),
        door,
    }
}

fn good(user: &str) -> Login {
    login("client", Some(user), Some(&password_of(user)), CLOSED)
}

fn name(who: &Identity) -> Option<&str> {
    who.username.as_deref()
}

#[tokio::test(start_paused = true)]
async fn a_password_proves_its_users_name_and_no_other() {
    let docks = docks();
    let who = docks.authenticate(good("dock-1")).await.unwrap();
    assert_eq!(name(&who), Some("dock-1"));
    assert!(matches!(who.proof, Proof::Password(_)));
    let tried =
        |user: &'static str, password: &'static str| docks.authenticate(login("c", Some(user), Some(password), OPEN));
    assert_eq!(tried("dock-1", "2-kcod").await.unwrap_err(), Denied::WrongPassword);
    assert_eq!(tried("dock-1", "").await.unwrap_err(), Denied::WrongPassword);
    assert_eq!(tried("Dock-1", "1-kcod").await.unwrap_err(), Denied::UnknownUser);
}

#[tokio::test(start_paused = true)]
async fn who_brings_no_credentials_is_anonymous_where_that_is_allowed() {
    let docks = docks();
    for (username, password, open, closed) in [
        (None, None, Ok(None), Denied::NoCredentials),
        // MQTT 5 allows a password alone [MQTT5-3.1.2.9]; it proves nothing.
        (None, Some("1-kcod"), Ok(None), Denied::NoCredentials),
        (Some(""), Some(""), Ok(None), Denied::NoCredentials),
        (Some("dock-1"), None, Err(Denied::NoCredentials), Denied::NoCredentials),
    ] {
        let who = docks.authenticate(login("c", username, password, OPEN)).await;
        assert_eq!(
            who.map(|who| (who.username, who.proof)),
            open.map(|name: Option<ByteString>| (name, Proof::Anonymous))
        );
        let who = docks.authenticate(login("c", username, password, CLOSED)).await;
        assert_eq!(who.unwrap_err(), closed);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_password_file_nobody_has_a_name() {
    let open = Authentication::new(None);
    for (username, password) in [(None, None), (Some("dock-1"), None), (Some("dock-1"), Some("x"))] {
        let who = open.authenticate(login("c", username, password, OPEN)).await.unwrap();
        assert_eq!((who.username.as_ref(), who.proof), (None, Proof::Anonymous));
        assert!(open.standing(&who) == Standing::Good);
        let who = open.authenticate(login("c", username, password, CLOSED)).await;
        assert_eq!(who.unwrap_err(), Denied::NoCredentials);
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_comes_before_a_password() {
    let docks = docks();
    let mut login = login("c", Some("dock-1"), Some("wrong"), CLOSED);
    login.certificate_name = Some("backend".into());
    let who = docks.authenticate(login).await.unwrap();
    assert_eq!((name(&who), who.proof), (Some("backend"), Proof::Certificate));
    assert_eq!(docks.standing(&who), Standing::Good);
}

#[tokio::test(start_paused = true)]
async fn nobody_has_another_users_name_as_client_identifier() {
    let docks = docks();
    let tried = |mut login: Login, client_id: &'static str| {
        login.client_id = client_id.into();
        docks.authenticate(login)
    };
    let mut certified = login("", None, None, CLOSED);
    certified.certificate_name = Some("backend".into());
    let anonymous = login("", None, None, OPEN);
    assert_eq!(tried(good("dock-1"), "dock-2").await.unwrap_err(), Denied::Identifier);
    assert_eq!(tried(certified, "dock-2").await.unwrap_err(), Denied::Identifier);
    assert_eq!(tried(anonymous, "dock-2").await.unwrap_err(), Denied::Identifier);
    assert!(tried(good("dock-2"), "dock-2").await.is_ok());
    assert!(tried(good("dock-2"), "dock-3").await.is_ok());
    // Who has no right password learns nothing of who the users are.
    let wrong = login("dock-2", Some("dock-1"), Some("wrong"), CLOSED);
    assert_eq!(docks.authenticate(wrong).await.unwrap_err(), Denied::WrongPassword);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_and_an_unknown_user_are_answered_after_the_same_time() {
    for (user, denied) in [("dock-1", Denied::WrongPassword), ("dock-9", Denied::UnknownUser)] {
        let docks = docks();
        for delay in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let came = Instant::now();
            let password = format!("{came:?}");
            assert_eq!(docks.authenticate(login("c", Some(user), Some(&password), CLOSED)).await.unwrap_err(), denied);
            // The timer's resolution is a millisecond.
            assert_eq!(came.elapsed().as_millis() / 10, delay / 10, "{user}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_succeeds_is_not_kept_waiting_and_forgives_nothing() {
    let docks = docks();
    let wrong = |password: &'static str| docks.authenticate(login("c", Some("dock-2"), Some(password), CLOSED));
    for password in ["a", "b", "c"] {
        wrong(password).await.unwrap_err();
    }
    let came = Instant::now();
    docks.authenticate(good("dock-1")).await.unwrap();
    assert!(came.elapsed() < Duration::from_millis(100));
    wrong("d").await.unwrap_err();
    assert_eq!(came.elapsed().as_millis() / 10, 400);
}

#[tokio::test(start_paused = true)]
async fn a_changed_or_deleted_entry_ends_what_the_old_one_let_in() {
    let docks = docks();
    let (one, two) =
        (docks.authenticate(good("dock-1")).await.unwrap(), docks.authenticate(good("dock-2")).await.unwrap());
    assert_eq!((docks.standing(&one), docks.standing(&two)), (Standing::Good, Standing::Good));
    let one_again = format!("dock-1:{}\n# dock-2 is gone\n", Hash::new(b"new", Cost::Sha512));
    docks.replace(Some(Passwords::of(&one_again)));
    assert_eq!((docks.standing(&one), docks.standing(&two)), (Standing::Unproved, Standing::Gone));
    // What was remembered of the old entry is good for nothing.
    assert_eq!(docks.authenticate(good("dock-1")).await.unwrap_err(), Denied::WrongPassword);
    let one = docks.authenticate(login("c", Some("dock-1"), Some("new"), CLOSED)).await.unwrap();
    docks.replace(Some(Passwords::of(&format!("# moved\n\ndock-0:{}\n{one_again}", Hash::new(b"0", Cost::Sha512)))));
    assert!(docks.standing(&one) == Standing::Good, "its own line has not changed");
    docks.replace(None);
    assert_eq!(docks.standing(&one), Standing::Gone);
}

#[tokio::test(start_paused = true)]
async fn who_has_the_name_of_a_new_user_as_identifier_has_to_go() {
    let docks = docks();
    let who = docks.authenticate(login("dock-3", None, None, OPEN)).await.unwrap();
    assert_eq!(docks.standing(&who), Standing::Good);
    docks.replace(Some(Passwords::of(&format!("dock-3:{}\n", Hash::new(b"3", Cost::Sha512)))));
    assert_eq!(docks.standing(&who), Standing::Unproved);
}

#[tokio::test(start_paused = true)]
async fn who_is_checked_while_the_file_changes_has_to_come_again() {
    let docks = docks();
    let mut checked = Box::pin(docks.authenticate(good("dock-1")));
    assert!(futures_util::poll!(&mut checked).is_pending());
    docks.replace(Some(Passwords::of(&format!("dock-1:{}\n", Hash::new(b"new", Cost::Sha512)))));
    assert_eq!(checked.await.unwrap_err(), Denied::Busy);
}
