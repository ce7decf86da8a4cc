//! The gateway in a lab, as a user installs it: an image, then `kubectl apply -k`.

use std::path::Path;

use super::{Node, Place};
use crate::image::Image;

/// Puts the image of `binary`, called `image`, into the node and what the kustomization `overlay` says into the cluster, and waits until
/// the controllers are ready. The overlay names the image, too.
pub(crate) fn install(node: &Node, place: &Place, binary: &Path, image: &str, overlay: &Path) -> anyhow::Result<()> {
    let archive = place.state().join("sealway.tar");
    Image::of_program(binary, &[image])?.write(&archive)?;
    node.load(&archive)?;
    let overlay = overlay.display().to_string();
    node.kubectl(["apply", "--server-side", "-k", &overlay])?;
    // A lab that was kept has Deployments of an earlier image by the same name.
    node.kubectl(["rollout", "restart", "deployment", "-n", NAMESPACE])?;
    node.kubectl(["rollout", "status", "deployment", "-n", NAMESPACE, "--timeout=120s"])?;
    Ok(())
}

/// Where `deploy/` puts it.
pub(crate) const NAMESPACE: &str = "sealway-system";
