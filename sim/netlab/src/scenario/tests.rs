use super::*;

#[test]
fn nodes_defaults_and_a_matrix() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.csv"), "0, 20, 40\n30, 0, -1\n40 60 0\n").unwrap();
    let path = folder.path().join("s.toml");
    std::fs::write(
        &path,
        "name = 'x'\n[delay]\nfile = 'm.csv'\n[default]\nup = '1mbit'\nnat = 'firewall'\n\
         [[nodes]]\nname = 'a'\ncount = 2\nlan = 'h'\nlan_size = 1\n[[nodes]]\nname = 'b'\nnat = 'none'\nloss = 0.1\n",
    )
    .unwrap();
    let scenario = Scenario::load(&path).unwrap();
    let nodes = scenario.expand().unwrap();
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a0", "a1", "b"]);
    assert_eq!(nodes[1].lan.as_deref(), Some("h1"));
    assert_eq!((nodes[1].nat, nodes[2].nat), (Some(Kind::Firewall), None));
    let settings = [("up".into(), "1mbit".into()), ("loss".into(), "0.1".into())];
    assert_eq!(nodes[2].settings, settings);
    let delays = scenario.delays(&nodes).unwrap();
    assert_eq!(
        (delays[1], delays[3]),
        (10_000_000, 15_000_000),
        "half a round trip"
    );
    assert_eq!(delays[5], 20_000_000, "missing: the median");
    assert_eq!(delays[0], 50_000, "the least");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, said) in [
        ("nodez = 3", "nodez"),
        ("name = '../x'", "no name"),
        ("mtu = 100", "mtu"),
        ("coalesce_us = 0", "coalesce_us"),
    ] {
        let error = Scenario::parse(text).err().map(|e| format!("{e:#}"));
        assert!(
            error.as_ref().is_some_and(|e| e.contains(said)),
            "{text}: {error:?}"
        );
    }
    let none = Scenario::parse("").unwrap();
    assert!(none.expand().is_err());
    let twice = Scenario::parse("[[nodes]]\nname = 'a'\n[[nodes]]\nname = 'a'").unwrap();
    assert!(twice.expand().is_err());
    let one = Scenario::parse("[[nodes]]\nname = 'a'")
        .unwrap()
        .with_delays_ns(vec![0; 4]);
    assert!(one.delays(&one.expand().unwrap()).is_err());
}
