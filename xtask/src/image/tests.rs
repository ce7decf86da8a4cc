use super::*;

#[test]
fn the_same_files_give_the_same_archive() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("program");
    fs::write(&program, "#!/bin/true")?;
    let archives = ["a.tar", "b.tar"].map(|name| directory.path().join(name));
    for archive in &archives {
        Image::of_program(&program, &["program:1", "registry.k8s.io/a/program:1"])?.write(archive)?;
    }
    let [a, b] = archives.map(fs::read);
    let (a, b) = (a?, b?);
    assert_eq!(a, b);
    Ok(())
}

#[test]
fn a_dynamic_program_brings_its_loader() -> anyhow::Result<()> {
    let of_this = libraries(&std::env::current_exe()?)?;
    assert!(of_this.iter().any(|path| path.contains("/ld-linux")), "{of_this:?}");
    assert!(of_this.iter().any(|path| path.contains("/libc.so")), "{of_this:?}");
    Ok(())
}

#[test]
fn blobs_are_called_by_their_digest() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, archive) = (directory.path().join("program"), directory.path().join("image.tar"));
    fs::write(&program, "#!/bin/true")?;
    Image::of_program(&program, &["program:1"])?.write(&archive)?;
    let mut blobs = 0;
    for entry in tar::Archive::new(&*fs::read(&archive)?).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content)?;
        if let Ok(digest) = path.strip_prefix("blobs/sha256") {
            assert_eq!(name_of(&content), format!("sha256:{}", digest.display()));
            blobs += 1;
        }
    }
    assert_eq!(blobs, 3);
    Ok(())
}

#[test]
fn names_without_a_registry_are_completed() {
    assert_eq!(full_name("sealway:1"), "docker.io/library/sealway:1");
    assert_eq!(full_name("team/sealway:1"), "docker.io/team/sealway:1");
    assert_eq!(full_name("localhost:5000/sealway:1"), "localhost:5000/sealway:1");
}
