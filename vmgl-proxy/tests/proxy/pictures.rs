//! What viewers see through the proxy is what the server shows.

use vmgl_rfb::Encoding;

use crate::peers::{Proxy, Viewer, Xvnc};

#[test]
fn viewers_of_every_encoding_see_at_once_what_x_shows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "501x303");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewers: Vec<_> = Encoding::ALL
        .into_iter()
        .map(|encoding| (encoding, Viewer::connect(&proxy.door, encoding, None).unwrap()))
        .collect();
    for picture in ["tile:pattern:checkerboard", "plasma:red-blue", "tile:pattern:bricks"] {
        server.paint("501x303", picture);
        let truth = server.truth();
        assert!(truth.iter().any(|pixel| *pixel != truth[0]), "nothing was drawn: {picture}");
        for (encoding, viewer) in &mut viewers {
            viewer.sees(&format!("{picture} in {encoding:?}"), |shown| shown.pixels() == truth);
        }
    }
}

#[test]
fn a_new_size_reaches_viewers_with_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "501x303");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    viewer.sees("the first size", |shown| shown.width() == 501);
    server.run(&["xrandr", "-s", "800x600"]);
    server.paint("800x600", "plasma:green-yellow");
    let truth = server.truth();
    assert_eq!(truth.len(), 800 * 600);
    viewer.sees("the new size", |shown| shown.pixels() == truth);
}
