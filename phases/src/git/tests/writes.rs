//! Backup and write.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::super::write;
use super::{BEFORE, FILE, World};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn the_backup_has_the_old_bytes_and_overwrites_nothing() {
    let world = World::new();
    let edit = world.edit();
    let folder = world.path("state/backup");
    let path = write::backup(&edit, &folder, "run-1").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), BEFORE.as_bytes());
    assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "run-1--infrastructure__storage__kustomization.yaml");
    // The same again is the same file; other bytes are another one.
    assert_eq!(write::backup(&edit, &folder, "run-1").unwrap(), path);
    let other = super::Edit {
        before: b"other".to_vec(),
        ..edit.clone()
    };
    let second = write::backup(&other, &folder, "run-1").unwrap();
    assert_ne!(second, path);
    assert_eq!(std::fs::read(&path).unwrap(), BEFORE.as_bytes());
    // A run's name is no path.
    let third = write::backup(&edit, &folder, "../../x").unwrap();
    assert_eq!(third.parent(), Some(folder.as_path()));
}

#[test]
fn a_link_in_the_backup_folder_is_not_followed() {
    let world = World::new();
    let edit = world.edit();
    let folder = world.path("backup");
    std::fs::create_dir(&folder).unwrap();
    let victim = world.path("victim");
    std::fs::write(&victim, BEFORE).unwrap();
    symlink(
        &victim,
        folder.join("run-1--infrastructure__storage__kustomization.yaml"),
    )
    .unwrap();
    let path = write::backup(&edit, &folder, "run-1").unwrap();
    assert!(path.symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read_to_string(victim).unwrap(), BEFORE);
}

#[test]
fn the_file_is_replaced_with_its_mode_and_only_if_it_is_what_was_read() {
    let world = World::new();
    let repository = world.repository();
    let file = world.path("work").join(FILE);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let edit = world.edit();
    write::write(&repository, &edit).unwrap();
    assert_eq!(
        (std::fs::read(&file).unwrap(), mode(&file)),
        (edit.after.clone(), 0o640)
    );
    write::write(&repository, &edit).unwrap();
    assert_eq!(
        world.status(),
        format!(" M {FILE}"),
        "no other file is left behind"
    );

    std::fs::write(&file, "resources: []\n").unwrap();
    assert_eq!(
        write::write(&repository, &edit).unwrap_err().reason(),
        "FileChanged"
    );
    assert_eq!(world.read(FILE), "resources: []\n");
}

#[test]
fn links_are_refused() {
    let world = World::new();
    let repository = world.repository();
    let edit = world.edit();
    let file = world.path("work").join(FILE);
    std::fs::rename(&file, world.path("outside.yaml")).unwrap();
    symlink(world.path("outside.yaml"), &file).unwrap();
    assert_eq!(
        write::write(&repository, &edit).unwrap_err().reason(),
        "OutsideRepository"
    );
    std::fs::remove_file(&file).unwrap();
    world.write("work", "inside.yaml", BEFORE);
    symlink(world.path("work/inside.yaml"), &file).unwrap();
    assert_eq!(
        write::write(&repository, &edit).unwrap_err().reason(),
        "UnsupportedShape"
    );
    assert_eq!(world.read("inside.yaml"), BEFORE);
}
