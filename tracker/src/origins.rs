//! Where registrations come from: one address may hold only so many.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Origin {
    pub(crate) fn of(ip: IpAddr) -> Origin {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Origin::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Origin::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// How many registrations each holds. There is an entry only for who holds one, so there are no more than members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(BTreeMap<Origin, u32>);

impl Origins {
    pub(crate) fn count(&self, origin: Origin) -> u32 {
        self.0.get(&origin).copied().unwrap_or(0)
    }

    pub(crate) fn enter(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            *self.0.entry(origin).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, origin: Option<Origin>) {
        let Some(origin) = origin else { return };
        if let Some(count) = self.0.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&origin);
            }
        }
    }
}
