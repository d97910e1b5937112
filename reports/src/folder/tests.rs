use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn names_that_could_leave_the_folder_are_refused() {
    for good in ["k3s2", "node-1.home.example", "0", "a.b"] {
        assert_eq!(valid_node_name(good), Ok(()), "{good}");
    }
    let long = "a".repeat(64);
    for bad in [
        "",
        "../x",
        "a/b",
        "K3s2",
        "-a",
        "a-",
        ".",
        "..",
        "a..b",
        "a b",
        "a_b",
        "é",
        "a\n",
        long.as_str(),
    ] {
        assert!(valid_node_name(bad).is_err(), "{bad:?}");
    }
    assert!(default_paths("../x", false).is_err());
    assert_eq!(
        default_paths("k3s2", false).unwrap(),
        (
            PathBuf::from("/tmp/k3s2-onboarding-state"),
            PathBuf::from("/tmp/k3s2-onboarding-logs")
        )
    );
    assert_eq!(
        default_paths("k3s2", true).unwrap().0,
        PathBuf::from("/tmp/k3s2-onboarding-sandbox-state")
    );
}

#[test]
fn folders_are_made_for_the_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/state");
    assert_eq!(StateFolder::open(&path).unwrap(), None);
    assert!(!path.exists(), "opening makes nothing");
    let folder = StateFolder::open_or_create(&path).unwrap();
    assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o700, 0o700));
    let copy = folder
        .back_up("kustomization.yaml", b"resources: []\r\n")
        .unwrap();
    assert_eq!((mode(&copy), mode(&folder.backup())), (0o600, 0o700));
    folder.back_up("kustomization.yaml", b"changed").unwrap();
    assert_eq!(
        fs::read(&copy).unwrap(),
        b"resources: []\r\n",
        "the first copy stays"
    );
    assert!(folder.back_up("../escape", b"x").is_err());
    assert!(folder.back_up("..", b"x").is_err());
}

#[test]
fn links_files_and_open_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    let link = dir.path().join("link");
    symlink(&target, &link).unwrap();
    let error = StateFolder::open_or_create(&link).unwrap_err().to_string();
    assert!(error.contains("is a link, expected a folder"), "{error}");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(
        LogFolder::open_or_create(&file)
            .unwrap_err()
            .to_string()
            .contains("is a file")
    );
    assert!(LogFolder::open_or_create(&file.join("below")).is_err());

    fs::set_permissions(&target, fs::Permissions::from_mode(0o770)).unwrap();
    let error = StateFolder::open_or_create(&target)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("mode 0770") && error.contains("chmod go-w"),
        "{error}"
    );
    let error = StateFolder::open(&target.join("below"))
        .map(|_| ())
        .map_err(|error| error.to_string());
    assert_eq!(
        error,
        Ok(()),
        "a folder that the group may write to is ordinary on the way"
    );

    fs::set_permissions(&target, fs::Permissions::from_mode(0o777)).unwrap();
    let error = StateFolder::open_or_create(&target.join("below"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("mode 0777"), "{error}");

    fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
    StateFolder::open_or_create(&target).unwrap();
    assert_eq!(mode(&target), 0o700, "readers are shut out");
    assert!(StateFolder::open(&dir.path().join("target/../target")).is_err());
}

#[test]
fn a_way_through_our_own_link_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    StateFolder::open_or_create(&dir.path().join("link/state")).unwrap();
    assert_eq!(mode(&dir.path().join("real/state")), 0o700);
}

#[test]
fn foreign_folders_and_links_on_the_way_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let own = files::own_uid().unwrap();
    if own != 0 {
        // Only root can give files away; for others the folder of root stands in.
        let error = StateFolder::open_or_create(Path::new("/usr"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("belongs to user 0"), "{error}");
        return;
    }
    let folder = dir.path().join("state");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(12_345), None).unwrap();
    let error = StateFolder::open_or_create(&folder)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("belongs to user 12345, expected user 0"),
        "{error}"
    );

    fs::create_dir(dir.path().join("real")).unwrap();
    let link = dir.path().join("link");
    symlink(dir.path().join("real"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(12_345), None).unwrap();
    let error = StateFolder::open_or_create(&link.join("state"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("link belongs to user 12345"), "{error}");
    assert!(!dir.path().join("real/state").exists());
}
