//! Demo guest.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

rt::main!(main);

fn main(tree: &'static rt::Tree) {
    rt::println!(
        "hello {} vcpus, args {:?}, {:?}",
        tree.vcpus(),
        tree.command_line(),
        rt::hv::version()
    );
    let t = rt::timer::now();
    rt::smp::start(1, || {
        rt::println!("second");
        for i in 0..5 {
            let none = rt::interrupt::wait_until(rt::timer::now() + rt::timer::milliseconds(50));
            rt::println!("tick {i} {none:?}");
            rt::interrupt::send(3, 0);
        }
    })
    .unwrap();
    rt::interrupt::enable(3);
    for _ in 0..6 {
        let i = rt::interrupt::wait_until(rt::timer::now() + rt::timer::milliseconds(300));
        rt::println!(
            "got {i:?} {}",
            (rt::timer::now() - t) * 1000 / rt::timer::frequency()
        );
    }
    panic!("end");
}
