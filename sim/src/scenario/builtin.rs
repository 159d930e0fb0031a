//! The scenarios in the box.

macro_rules! scenarios {
    ($($(#[$doc:meta])* $list:ident: [$($name:literal),* $(,)?];)*) => {
        $($(#[$doc])* pub const $list: &[&str] = &[$($name),*];)*

        /// The text of a scenario in the box.
        pub fn builtin(name: &str) -> Option<&'static str> {
            match name {
                $($($name => Some(include_str!(concat!("../../scenarios/", $name, ".toml"))),)*)*
                _ => None,
            }
        }
    };
}

scenarios! {
    /// Names of the swarms in the box.
    NAMES: [
        "paper-fig5",
        "paper-fig5-no-ncp",
        "planetlab",
        "churn",
        "flash-crowd",
        "mass-exit",
        "shortage",
        "access-delays",
        "measured-uplinks",
        "peercaster-restart",
        "areas",
        "free-riders",
        "trust-shift",
        "sybils",
    ];
    /// Names of the scenarios of the overlay by itself.
    OVERLAY_NAMES: ["doat-1k", "doat-10k", "doat-churn", "doat-hostile", "doat-planetlab", "coords-planetlab"];
    /// Names of the scenarios with several streams of real programs.
    STREAMS_NAMES: ["discovery"];
    /// Names of the scenarios with credit between streams of real programs.
    SPEND_NAMES: ["spend"];
}
