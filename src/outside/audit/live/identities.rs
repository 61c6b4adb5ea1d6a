//! The identities with Kerberos, their tickets and their KDCs, and the server of tokens.

use crate::clients::kafka::told_by_token_server;
use crate::clients::kerberos::{NoTicket, TicketTimes, ticket};
use crate::common::config::{Config, Kerberos};
use crate::outside::audit::brokers::LookError;
use crate::outside::audit::live::clocks::{self, Told};
use crate::outside::audit::live::tried::{Attempted, Outcome};
use crate::pure::calendar;

/// A ticket that ends within this time, and that nobody renews, is worth a warning; seconds.
const SOON: i64 = 3_600;

const TOKEN_SERVER: &str = "sasl.oauthbearer.token.endpoint.url";

/// Tries each identity once.
pub(super) async fn identities(config: &Config, report: &mut Attempted) {
    let mut seen: Vec<&Kerberos> = Vec::new();
    for kerberos in config.kerberos() {
        if !seen.contains(&kerberos) {
            seen.push(kerberos);
            identity(kerberos, report).await;
        }
    }
}

async fn identity(kerberos: &Kerberos, report: &mut Attempted) {
    let what = format!("Kerberos {}", kerberos.principal);
    let (of, before) = (kerberos.clone(), clocks::now());
    let asked = blocking(move || ticket(&of)).await;
    let after = clocks::now();
    let (outcome, text) = match &asked {
        Ok(Ok(times)) => judged(kerberos, times, after.div_euclid(1_000)),
        Ok(Err(no)) => (Outcome::Wrong, refused(kerberos, no)),
        Err(error) => (Outcome::Wrong, error.to_string()),
    };
    report.add(&what, outcome, text);
    if let (Ok(Ok(times)), Some(_)) = (&asked, &kerberos.keytab) {
        let told = times.issued.saturating_mul(1_000);
        let told = Told { asked: (before, after), told, step: 1_000 };
        report.clock(&format!("the KDC of {}", kerberos.principal), told, true);
    }
}

/// A ticket that is there; `now`: seconds since 1970.
fn judged(kerberos: &Kerberos, times: &TicketTimes, now: i64) -> (Outcome, String) {
    let shown = |at: i64| calendar::iso_millis(at.saturating_mul(1_000));
    let renewable = match times.renewable_until {
        Some(at) => format!("renewable until {}", shown(at)),
        None => "not renewable".into(),
    };
    let (left, until) = (times.until.saturating_sub(now), shown(times.until));
    if let Some(keytab) = &kerberos.keytab {
        let text = format!(
            "the KDC gives a ticket for the key in {keytab}: valid for {}, {renewable}. The daemon \
             acquires the next one by the keytab before it ends",
            lasting(left)
        );
        return (Outcome::Good, text);
    }
    let key = kerberos.key();
    let whose = kerberos.cache.as_deref().unwrap_or("the cache of the environment");
    if left <= 0 {
        let text = format!(
            "the ticket in {whose} expired at {until}: renew it, or set {key}.keytab, by which \
             the daemon acquires tickets itself"
        );
        return (Outcome::Wrong, text);
    }
    let text = format!(
        "the ticket in {whose} is valid until {until} ({}), {renewable}; the daemon does not renew \
         it",
        lasting(left)
    );
    match left < SOON {
        true => (
            Outcome::Doubtful,
            format!("{text}: whoever fills the cache has to, or set {key}.keytab"),
        ),
        false => (Outcome::Good, text),
    }
}

fn refused(kerberos: &Kerberos, no: &NoTicket) -> String {
    let (key, principal) = (kerberos.key(), &kerberos.principal);
    match (no, &kerberos.keytab) {
        (NoTicket::Silent(_), _) => no.to_string(),
        (NoTicket::Refused(why), Some(keytab)) => format!(
            "can't log in: {why}; correct {key}.principal or {key}.keytab: `kinit -k -t {keytab} \
             {principal}` tries the same, and `klist -ke {keytab}` shows the keys"
        ),
        (NoTicket::Refused(why), None) => format!(
            "there is no ticket: {why}; let the cache be filled ({key}.cache), or set {key}.keytab"
        ),
    }
}

/// A duration for people.
fn lasting(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// The server of tokens tells its time in each answer.
pub(super) async fn token_server(config: &Config, report: &mut Attempted) {
    let Some(url) = config.kafka.properties.get(TOKEN_SERVER) else {
        return;
    };
    let (of, before) = (url.to_string(), clocks::now());
    let Ok(Some(told)) = blocking(move || told_by_token_server(&of)).await else { return };
    let told = Told { asked: (before, clocks::now()), told, step: 1_000 };
    report.clock(&format!("the token server {url}"), told, false);
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LookError> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|e| LookError::Other(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kerberos(more: &str) -> Kerberos {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[archive]\nroot = \
             \"hdfs://n/r\"\nkerberos = {{ principal = \"a@B\", {more} }}\n[mapping.m]\ntopics = \
             [\"t\"]\n"
        );
        let config = Config::parse(&text, Some("i")).unwrap_or_else(|e| panic!("{e}"));
        config.kerberos().next().expect("an identity").clone()
    }

    #[test]
    fn a_ticket_that_ends_soon_needs_somebody_who_renews_it() {
        let times = |until, renewable_until| TicketTimes { issued: 0, until, renewable_until };
        let keytab = kerberos("keytab = \"/k\"");
        let cache = kerberos("cache = \"/c\"");
        let of = |kerberos, times| judged(kerberos, &times, 1_000);
        let (outcome, text) = of(&keytab, times(1_100, Some(5_000)));
        assert_eq!(outcome, Outcome::Good);
        assert!(text.contains("valid for 100 s, renewable until 1970-01-01T01:23:20"), "{text}");
        let (outcome, text) = of(&cache, times(1_100, None));
        assert_eq!(outcome, Outcome::Doubtful);
        assert!(text.contains("not renewable") && text.contains("archive.kerberos.keytab"));
        assert_eq!(of(&cache, times(4_599, None)).0, Outcome::Doubtful);
        assert_eq!(of(&cache, times(4_600, None)).0, Outcome::Good);
        let (outcome, text) = of(&cache, times(1_000, Some(9_000)));
        assert_eq!(outcome, Outcome::Wrong);
        assert!(text.contains("expired at 1970-01-01T00:16:40"), "{text}");
    }

    #[test]
    fn a_silent_kdc_is_not_told_as_a_wrong_key() {
        let keytab = kerberos("keytab = \"/k\"");
        let silent = refused(&keytab, &NoTicket::Silent("no KDC answers".into()));
        assert_eq!(silent, "no KDC answers");
        let wrong = refused(&keytab, &NoTicket::Refused("Preauthentication failed".into()));
        assert!(wrong.starts_with("can't log in: Preauthentication failed; "), "{wrong}");
        assert!(wrong.contains("archive.kerberos.keytab"), "{wrong}");
    }
}
