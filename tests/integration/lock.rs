//! Promises about the lock: one winner, held on a descriptor that scripts don't touch.

use crate::harness::{Holder, Run, Scene, holds_lock, nonoverlap};

#[test]
fn a_taken_lock_refuses_with_1_and_says_nothing() {
    let scene = Scene::new();
    let holder = Holder::of([scene.lock()]);
    assert!(holds_lock(holder.pid(), &scene.lock()));
    nonoverlap([scene.lock()])
        .args(["echo", "ran"])
        .run()
        .expect(1, "", "");
    assert!(holder.end().success());
    nonoverlap([scene.lock()])
        .args(["echo", "ran"])
        .run()
        .expect(0, "ran\n", "");
}
