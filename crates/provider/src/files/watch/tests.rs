use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Watch, WatchSettings, directories};
use crate::files::{Loaded, Loader};

fn service(name: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 1}}]}}\n")
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.resources.services.keys().map(|key| key.name.clone()).collect()
}

/// Only the system's signs of change can be in time.
const SIGNS: WatchSettings = WatchSettings {
    pause: Duration::from_millis(5),
    settle: Duration::from_millis(20),
    patience: Duration::from_millis(500),
    interval: Duration::from_secs(3600),
    notify: true,
};

/// Only the interval can.
const POLLING: WatchSettings = WatchSettings {
    interval: Duration::from_millis(20),
    notify: false,
    ..SIGNS
};

fn start(path: &Path, settings: WatchSettings) -> Watch {
    let (loader, first) = Loader::open(&[path.to_owned()]).unwrap();
    Watch::start(loader, first, settings).unwrap()
}

/// Waits until exactly these Services are there.
async fn expect(watch: &Watch, expected: &[&str]) {
    let mut newest = watch.subscribe();
    let seen = newest.wait_for(|loaded| names(loaded) == expected);
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    assert!(seen.is_ok(), "not {expected:?}");
}

/// As editors write: a new file that takes the old one's name.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).unwrap();
    fs::rename(temporary, path).unwrap();
}

#[tokio::test]
async fn rename_into_place_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, service("a")).unwrap();
    let watch = start(&file, SIGNS);
    expect(&watch, &["a"]).await;
    replace(&file, &service("b"));
    expect(&watch, &["b"]).await;
    // The watch does not follow the file that was replaced.
    replace(&file, &service("c"));
    expect(&watch, &["c"]).await;
}

#[tokio::test]
async fn files_and_directories_that_appear_are_seen() {
    let directory = tempfile::tempdir().unwrap();
    let watch = start(directory.path(), SIGNS);
    expect(&watch, &[]).await;
    fs::write(directory.path().join("a.yaml"), service("a")).unwrap();
    expect(&watch, &["a"]).await;
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("b.yml"), service("b")).unwrap();
    expect(&watch, &["a", "b"]).await;
    fs::write(
        below.join("c.json"),
        "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"c\"}, \"spec\": {\"clusterIP\": \"None\"}}",
    )
    .unwrap();
    fs::write(below.join("d.txt"), service("d")).unwrap();
    expect(&watch, &["a", "b", "c"]).await;
    fs::remove_file(below.join("b.yml")).unwrap();
    expect(&watch, &["a", "c"]).await;
}

#[cfg(unix)]
#[tokio::test]
async fn config_map_mount_is_seen_when_its_link_swaps() {
    use std::os::unix::fs::symlink;
    let mount = tempfile::tempdir().unwrap();
    let version = |name: &str, service_name: &str| {
        fs::create_dir(mount.path().join(name)).unwrap();
        fs::write(mount.path().join(name).join("a.yaml"), service(service_name)).unwrap();
    };
    let swap = |name: &str| {
        symlink(name, mount.path().join("..data_tmp")).unwrap();
        fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
    };
    version("..1", "a");
    swap("..1");
    symlink("..data/a.yaml", mount.path().join("a.yaml")).unwrap();
    let whole = start(mount.path(), SIGNS);
    let single = start(&mount.path().join("a.yaml"), SIGNS);
    // As the kubelet does it, twice.
    for (before, name, expected) in [("..1", "..2", "b"), ("..2", "..3", "c")] {
        version(name, expected);
        swap(name);
        fs::remove_dir_all(mount.path().join(before)).unwrap();
        expect(&whole, &[expected]).await;
        expect(&single, &[expected]).await;
    }
    assert_eq!(whole.subscribe().borrow().problems, []);
}

#[cfg(unix)]
#[tokio::test]
async fn target_of_a_link_is_watched() {
    use std::os::unix::fs::symlink;
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("real.yaml");
    fs::write(&file, service("a")).unwrap();
    symlink(&file, here.path().join("link.yaml")).unwrap();
    let watch = start(here.path(), SIGNS);
    expect(&watch, &["a"]).await;
    replace(&file, &service("b"));
    expect(&watch, &["b"]).await;
}

#[tokio::test]
async fn directory_that_is_replaced_is_watched_anew() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("manifests");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), service("a")).unwrap();
    let watch = start(&path, SIGNS);
    expect(&watch, &["a"]).await;
    fs::rename(&path, root.path().join("old")).unwrap();
    let mut newest = watch.subscribe();
    let gone = newest.wait_for(|loaded| {
        loaded
            .problems
            .iter()
            .any(|problem| problem.cause.code() == "path-unreadable")
    });
    assert_eq!(
        names(&tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap().unwrap()),
        ["a"]
    );
    fs::create_dir(&path).unwrap();
    fs::write(path.join("a.yaml"), service("b")).unwrap();
    expect(&watch, &["b"]).await;
    fs::write(path.join("a.yaml"), service("c")).unwrap();
    expect(&watch, &["c"]).await;
}

#[tokio::test]
async fn without_signs_of_change_files_are_read_at_intervals() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, service("a")).unwrap();
    let watch = start(directory.path(), POLLING);
    expect(&watch, &["a"]).await;
    fs::write(&file, service("b")).unwrap();
    expect(&watch, &["b"]).await;
}

#[tokio::test]
async fn reload_can_be_asked_for_and_nothing_new_wakes_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, service("a")).unwrap();
    let watch = start(directory.path(), WatchSettings { notify: false, ..SIGNS });
    fs::write(&file, service("b")).unwrap();
    watch.reload();
    expect(&watch, &["b"]).await;
    let newest = watch.subscribe();
    fs::write(&file, service("b") + "# a comment\n").unwrap();
    watch.reload();
    fs::write(&file, service("c")).unwrap();
    watch.reload();
    expect(&watch, &["c"]).await;
    assert!(newest.has_changed().unwrap());
}

#[cfg(unix)]
#[test]
fn directories_of_links_on_the_way_are_watched_and_loops_end() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    fs::create_dir_all(path("real/deep")).unwrap();
    fs::create_dir_all(path("via")).unwrap();
    symlink("../real", path("via/link")).unwrap();
    symlink("../..", path("real/deep/up")).unwrap();
    symlink("loop", path("loop")).unwrap();
    fs::write(path("real/a.yaml"), "").unwrap();
    let paths = [path("via/link"), path("loop"), path("missing/a.yaml")];
    let found: Vec<PathBuf> = directories(paths.iter().map(PathBuf::as_path)).into_keys().collect();
    assert!(found.contains(&path("via")), "{found:?}");
    assert!(found.iter().any(|found| found.ends_with("real/deep")), "{found:?}");
    assert!(found.contains(&root.path().to_owned()), "{found:?}");
    assert!(found.len() < 20, "{found:?}");
}

#[tokio::test]
async fn file_that_is_complete_does_not_wait_for_writers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, service("a")).unwrap();
    let patient = WatchSettings {
        settle: Duration::from_secs(3600),
        patience: Duration::from_secs(3600),
        ..SIGNS
    };
    let watch = start(&file, patient);
    expect(&watch, &["a"]).await;
    fs::write(&file, service("b")).unwrap();
    expect(&watch, &["b"]).await;
    replace(&file, &service("c"));
    expect(&watch, &["c"]).await;
}
