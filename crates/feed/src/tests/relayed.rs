//! What one controller knows of its proxies, the one that writes statuses knows too.

use tokio::io::duplex;
use tokio::task::JoinHandle;

use super::kit::*;
use crate::{LinkFault, Server};

fn relay(from: &Server, to: &Server, files: &Files) -> JoinHandle<Result<(), LinkFault>> {
    let (near, far) = duplex(1 << 16);
    serve(to, far);
    let mut proxies = from.own_proxies();
    let settings = files.settings("nowhere");
    tokio::spawn(async move { crate::relay::run(&settings, near, &mut proxies, &mut 0).await })
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_the_lease_knows_the_proxies_of_the_others() {
    let mut cluster = Cluster::new();
    cluster.gateway("a", 443);
    let published = cluster.published();
    let (holder, _) = server([("one", proxy_of("a", "one")), ("peer", controller("controller-2"))]);
    let (other, _) = server([("one", proxy_of("a", "one")), ("two", proxy_of("a", "two"))]);
    holder.publish(&published);
    // Each counts for itself; the content is the same.
    other.publish(
        &published
            .iter()
            .map(|(gateway, it)| {
                let mut it = it.clone();
                it.revision += 41;
                (gateway.clone(), it)
            })
            .collect(),
    );
    let files = Files::new("peer");
    let relays = relay(&other, &holder, &files);
    let one = piped(&holder, "one");
    let two = piped(&other, "two");
    let (_one, _two) = (obedient(&one.client), obedient(&two.client));
    let content = holder.published().get(&gateway("a")).expect("published").content;
    let proxy = proxy_is(&holder, "a", "two", |proxy| proxy.acknowledged.is_some()).await;
    assert_eq!(proxy.acknowledged.map(|it| (it.revision, it.content)), Some((42, content)));
    proxy_is(&holder, "a", "one", |proxy| proxy.acknowledged.is_some()).await;
    // What is relayed is not relayed on.
    assert_eq!(holder.own_proxies().borrow().values().flatten().count(), 1);

    // A proxy moves over: it is the one that is connected.
    one.ends.abort();
    one.served.await.expect("no panic");
    proxy_is(&holder, "a", "one", |proxy| proxy.silent_since.is_some()).await;
    let (near, far) = duplex(1 << 16);
    let _ends = connect(&one.client, near);
    let _served = serve(&other, far);
    proxy_is(&holder, "a", "one", |proxy| proxy.silent_since.is_none()).await;

    // The other controller is lost, and comes back: nobody is forgotten meanwhile, and who has left since then is.
    relays.abort();
    proxy_is(&holder, "a", "two", |proxy| proxy.silent_since.is_some()).await;
    two.client.leave();
    until(&mut other.own_proxies(), |proxies| proxies.values().flatten().count() == 1).await;
    let _relays = relay(&other, &holder, &files);
    proxy_is(&holder, "a", "one", |proxy| proxy.silent_since.is_none()).await;
    until(&mut holder.proxies(), |proxies| proxies.values().flatten().count() == 1).await;

    // The last one leaves where it is now: nobody misses it where it was before.
    one.client.leave();
    until(&mut holder.proxies(), |proxies| proxies.is_empty()).await;
}
