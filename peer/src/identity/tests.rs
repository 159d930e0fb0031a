use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_key_survives_the_process() {
    let dir = folder();
    let path = dir.path().join("me.key");
    let first = open(&path, Purpose::Identity).unwrap();
    let id = first.key().peer_id();
    drop(first);
    assert_eq!(open(&path, Purpose::Identity).unwrap().key().peer_id(), id);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# headwater identity"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_key_is_readable_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let path = dir.path().join("me.key");
    drop(open(&path, Purpose::Identity).unwrap());
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failure = open(&path, Purpose::Identity).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("chmod 600"), "{failure}");
}

#[test]
fn a_named_file_in_use_is_refused() {
    let dir = folder();
    let path = dir.path().join("me.key");
    let _held = open(&path, Purpose::Stream).unwrap();
    let failure = open(&path, Purpose::Stream).unwrap_err();
    assert!(
        failure.to_string().contains("another running headwater"),
        "{failure}"
    );
}

#[test]
fn processes_that_share_a_state_folder_do_not_clash() {
    let dir = folder();
    let first = open_or_ephemeral(Some(dir.path()), Purpose::Identity).unwrap();
    let second = open_or_ephemeral(Some(dir.path()), Purpose::Identity).unwrap();
    assert!(first.path().is_some());
    assert_eq!(second.path(), None);
    assert_ne!(first.key().peer_id(), second.key().peer_id());
}

#[test]
fn each_cast_continues_its_own_stream() {
    let dir = folder();
    let pair = || {
        let a = open_or_ephemeral(Some(dir.path()), Purpose::Stream).unwrap();
        let b = open_or_ephemeral(Some(dir.path()), Purpose::Stream).unwrap();
        (a.key().stream_id(), b.key().stream_id())
    };
    let before = pair();
    assert_ne!(before.0, before.1);
    assert_eq!(pair(), before);
}

#[test]
fn other_files_are_no_keys() {
    let cases: [&[u8]; 5] = [
        b"",
        b"# only a comment\n",
        b"hello\n",
        &[0xff; 100],
        b"mfrgg\nmfrgg\n",
    ];
    for content in cases {
        let dir = folder();
        let path = dir.path().join("me.key");
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let failure = open(&path, Purpose::Identity).unwrap_err();
        assert!(
            failure.to_string().contains("not a headwater key file"),
            "{failure}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = folder();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let failure = state_dir(Some(&file.join("state"))).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.to_string().contains("--state"), "{failure}");
}
