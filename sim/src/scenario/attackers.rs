//! Peers in one hand who cheat: identities of one peer, or a ring of colluders.

use serde::{Deserialize, Serialize};

use super::Scenario;
use super::check::{between, count};

/// A region of identities that one hand moves. Some of them give in the other stream before; all of them come to the scenario's
/// stream with the donors of the other one, say that they give nothing, and want to be served for what the region claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attackers {
    /// Its name in results.
    pub name: String,
    /// How many there are at once.
    pub identities: usize,
    /// The first so many of them really give: as donors of the other stream before.
    pub donors: usize,
    /// Their uplink, as a multiple of the rate.
    pub donor_upload_x: f64,
    /// Each has forged receipts of so many of those before it, the donors first.
    pub partners: usize,
    /// How much each of these receipts says that it gave, in units of 1 MB.
    pub forged_mb: f64,
    /// What else they do.
    pub cheats: Vec<Cheat>,
    /// Each of those who give nothing goes without a word after so long, and comes back under a new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_name_s: Option<f64>,
    /// Not a cheat but a world without a defence: honest peers believe forged receipts of their own, as if nobody had to sign.
    pub believed: bool,
}

impl Default for Attackers {
    fn default() -> Self {
        Attackers {
            name: "attackers".to_owned(),
            identities: 10,
            donors: 1,
            donor_upload_x: 2.0,
            partners: 1,
            forged_mb: 1000.0,
            cheats: Vec::new(),
            new_name_s: None,
            believed: false,
        }
    }
}

/// What is done to what attackers' nodes want to send to honest peers, or are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cheat {
    /// Everything about trust is said once more two seconds later.
    Replay,
    /// With each receipt another one goes that says half as much under the same number. Only by those who never gave.
    Equivocation,
    /// Who owes an identity enough to rank by gets no receipts and no proposals of it any more.
    NoReceipts,
    /// No note that commits a shift is shown.
    NoNotes,
    /// Who gave does not hear of notes: what was shifted away from it stays in its accounts with those who owed it.
    Unsettled,
    /// Who has ordered a shift vanishes, and comes back later. Only those who never gave.
    Vanishing,
    /// They say that they have slots for many, and give nothing.
    EmptySlots,
}

impl Attackers {
    pub(super) fn check(&self, at: usize, scenario: &Scenario) -> Result<(), String> {
        let key = |name: &str| format!("attackers.{at}.{name}");
        count(&key("identities"), self.identities, 1, 10_000)?;
        count(
            &key("donors (of the identities)"),
            self.donors,
            0,
            self.identities,
        )?;
        count(
            &key("partners (of the others)"),
            self.partners,
            0,
            self.identities - 1,
        )?;
        between(&key("donor_upload_x"), self.donor_upload_x, 0.0, 1e6)?;
        between(&key("forged_mb"), self.forged_mb, 0.0, 1e9)?;
        if let Some(s) = self.new_name_s {
            between(&key("new_name_s"), s, 1.0, 86_400.0)?;
        }
        if scenario.earlier.is_none() {
            return Err("attackers earn what they spend in another stream: they need [earlier]".to_owned());
        }
        let twice = scenario.attackers[..at]
            .iter()
            .any(|other| other.name == self.name);
        if twice {
            return Err(format!("{} is {:?} once more", key("name"), self.name));
        }
        Ok(())
    }
}
