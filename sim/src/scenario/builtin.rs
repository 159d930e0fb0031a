//! The scenarios in the box.

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// Names of the scenarios in the box.
        pub const NAMES: &[&str] = &[$($name),*];

        /// The text of a scenario in the box.
        pub fn builtin(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../scenarios/", $name, ".toml"))),)*
                _ => None,
            }
        }
    };
}

scenarios![
    "paper-fig5",
    "paper-fig5-no-ncp",
    "planetlab",
    "churn",
    "flash-crowd",
    "mass-exit",
];
