//! The heap: the RAM after the image, up to the device tree if that comes first.

use buddy_system_allocator::LockedHeap;

use crate::Tree;

#[global_allocator]
static HEAP: LockedHeap<33> = LockedHeap::new();

unsafe extern "C" {
    static __end: u8;
}

pub(crate) fn init(tree: &Tree) {
    let start = &raw const __end as usize;
    let (base, size) =
        tree.memory_at(start).expect("the device tree has no memory that holds the image");
    let device_tree = tree.address();
    let end = if device_tree > start { device_tree.min(base + size) } else { base + size };
    // SAFETY: RAM of this partition from the end of the image to the next object in it; nothing
    // else uses it.
    unsafe { HEAP.lock().init(start, end - start) };
}
