// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QEMU TCG plugin that reports a machine's operations to the model of caches, TLBs and barriers.
//! It has only the path from QEMU's callbacks to [`Observer`], and every `unsafe` line of the
//! checker.
//!
//! QEMU's documentation of its plugin interface, version 4 (QEMU 9.2 and later), declares the
//! functions below. QEMU resolves them when it loads this library: `-plugin
//! libsilicon_plugin.so,settings=FILE`.

#![allow(non_upper_case_globals)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use silicon_model::Memory;
use silicon_model::observer::{Block, Hook, Observer, Probe, Settings, Told, Transfer};

type Id = u64;
type Execute = extern "C" fn(c_uint, *mut c_void);

/// GLib's arrays: only the fields that are used.
#[repr(C)]
struct Bytes {
    data: *mut u8,
    len: c_uint,
}

#[repr(C)]
struct Descriptor {
    handle: *mut c_void,
    name: *const c_char,
    feature: *const c_char,
}

/// `qemu_plugin_mem_value`: a type, and a union whose largest member is 16 bytes.
#[repr(C)]
struct Value {
    kind: c_uint,
    data: [u64; 2],
}

// SAFETY: the declarations are those of QEMU's and GLib's documentation.
unsafe extern "C" {
    fn g_byte_array_new() -> *mut Bytes;
    fn g_byte_array_set_size(array: *mut Bytes, size: c_uint) -> *mut Bytes;
    fn qemu_plugin_register_vcpu_init_cb(id: Id, callback: extern "C" fn(Id, c_uint));
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut c_void));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut c_void,
        callback: Execute,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        callback: Execute,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut c_void,
        callback: extern "C" fn(c_uint, u32, u64, *mut c_void),
        flags: c_int,
        kind: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_atexit_cb(
        id: Id,
        callback: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_data(insn: *const c_void, to: *mut c_void, size: usize) -> usize;
    fn qemu_plugin_insn_vaddr(insn: *const c_void) -> u64;
    fn qemu_plugin_insn_haddr(insn: *const c_void) -> *mut c_void;
    fn qemu_plugin_insn_disas(insn: *const c_void) -> *mut c_char;
    fn qemu_plugin_mem_is_store(info: u32) -> bool;
    fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    fn qemu_plugin_mem_get_value(info: u32) -> Value;
    fn qemu_plugin_get_hwaddr(info: u32, va: u64) -> *mut c_void;
    fn qemu_plugin_hwaddr_is_io(address: *const c_void) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(address: *const c_void) -> u64;
    fn qemu_plugin_get_registers() -> *mut Bytes;
    fn qemu_plugin_read_register(handle: *mut c_void, to: *mut Bytes) -> c_int;
    fn qemu_plugin_read_memory_vaddr(va: u64, to: *mut Bytes, size: usize) -> bool;
    fn g_free(memory: *mut c_void);
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn _exit(code: c_int) -> !;
}

/// The version of the plugin interface that is used here; QEMU asks for it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 4;
/// `QEMU_PLUGIN_CB_NO_REGS`, `QEMU_PLUGIN_CB_R_REGS`, `QEMU_PLUGIN_MEM_RW`.
const NO_REGISTERS: c_int = 0;
const READS_REGISTERS: c_int = 1;
const LOADS_AND_STORES: c_int = 3;

/// The plugin's state, under one lock: with several threads, cores take turns.
struct Plugin {
    observer: Observer,
    machine: Machine,
    settings: Settings,
    /// QEMU's pointer to the vCPU that runs, by number.
    running: Vec<usize>,
    /// Host address of RAM's first byte, known after EL2's first instruction.
    host: Option<u64>,
}

static PLUGIN: Mutex<Option<Plugin>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Plugin>> {
    PLUGIN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine, as QEMU shows the running vCPU's registers and memory.
struct Machine {
    /// Handles by name.
    registers: BTreeMap<String, usize>,
    buffer: usize,
}

impl Machine {
    fn register(&self, name: &str) -> u64 {
        let Some(&handle) = self.registers.get(name) else {
            return 0;
        };
        let buffer = self.buffer as *mut Bytes;
        // SAFETY: the handle is QEMU's for this register, and the buffer is GLib's, which only the
        // holder of this lock uses.
        let bytes = unsafe {
            g_byte_array_set_size(buffer, 0);
            let size = qemu_plugin_read_register(handle as *mut c_void, buffer);
            std::slice::from_raw_parts(
                (*buffer).data,
                usize::try_from(size).unwrap_or(0).min((*buffer).len as usize),
            )
        };
        let mut value = [0; 8];
        let size = bytes.len().min(8);
        value[..size].copy_from_slice(&bytes[..size]);
        u64::from_le_bytes(value)
    }

    /// Returns the exception level that runs.
    fn level(&self) -> u8 {
        (self.register("cpsr") >> 2 & 3) as u8
    }
}

impl Memory for Machine {
    /// Walks are done at EL2, which maps its tables at their physical addresses.
    fn read(&mut self, pa: u64, words: &mut [u64]) -> bool {
        let buffer = self.buffer as *mut Bytes;
        // SAFETY: QEMU fills GLib's buffer, which only the holder of this lock uses, with as many
        // bytes as it says.
        let bytes = unsafe {
            g_byte_array_set_size(buffer, 0);
            if !qemu_plugin_read_memory_vaddr(pa, buffer, 8 * words.len()) {
                return false;
            }
            std::slice::from_raw_parts((*buffer).data, (*buffer).len as usize)
        };
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        true
    }
}

impl Probe for Machine {
    fn general(&mut self, number: u8) -> u64 {
        match number {
            31 => 0,
            _ => self.register(&format!("x{number}")),
        }
    }

    fn state(&mut self) -> u64 {
        self.register("TPIDR_EL2")
    }
}

/// Returns the address of this thread's `current_cpu` in QEMU; null if QEMU does not export it.
fn current_cpu() -> *const usize {
    // SAFETY: the call only looks up a name.
    unsafe { dlsym(std::ptr::null_mut(), c"current_cpu".as_ptr()).cast() }
}

/// Reads QEMU's thread-local pointer to the vCPU that runs. With one thread for all vCPUs QEMU 10.0
/// gives callbacks the number of the vCPU that translated a block first.
fn running() -> usize {
    thread_local! {
        static CURRENT: *const usize = current_cpu();
    }
    CURRENT.with(|&current| {
        if current.is_null() {
            0
        } else {
            // SAFETY: QEMU's variable exists as long as this thread; it has a pointer, which is
            // compared and not followed.
            unsafe { current.read() }
        }
    })
}

impl Plugin {
    fn core(&self, told: c_uint) -> usize {
        if !self.settings.one_thread || self.settings.believe {
            return told as usize;
        }
        let running = running();
        self.running.iter().position(|&vcpu| vcpu == running).unwrap_or(told as usize)
    }

    fn write_report(&self) {
        let text = serde_json::to_string(&self.observer.report()).unwrap_or_default();
        // An error cannot be reported here: `cargo xtask silicon` sees that the file is missing.
        let _ = std::fs::write(&self.settings.report, text);
    }
}

extern "C" fn on_vcpu(_: Id, number: c_uint) {
    let mut guard = lock();
    let Some(plugin) = guard.as_mut() else { return };
    let number = number as usize;
    if plugin.running.len() <= number {
        plugin.running.resize(number + 1, 0);
    }
    plugin.running[number] = running();
    if plugin.machine.registers.is_empty() {
        // SAFETY: QEMU's array of descriptors has C strings, which exist as long as QEMU does.
        unsafe {
            let array = qemu_plugin_get_registers();
            let descriptors = std::slice::from_raw_parts(
                (*array).data.cast::<Descriptor>(),
                (*array).len as usize,
            );
            for descriptor in descriptors {
                let name = CStr::from_ptr(descriptor.name).to_string_lossy().into_owned();
                plugin.machine.registers.insert(name, descriptor.handle as usize);
            }
        }
    }
}

extern "C" fn on_translation(_: Id, tb: *mut c_void) {
    let mut guard = lock();
    let Some(plugin) = guard.as_mut() else { return };
    let (base, size) = plugin.settings.machine.ram;
    let el = plugin.machine.level();
    // SAFETY: this is QEMU's block, with at least one instruction.
    let (count, pc, host) = unsafe {
        let first = qemu_plugin_tb_get_insn(tb, 0);
        (
            qemu_plugin_tb_n_insns(tb),
            qemu_plugin_insn_vaddr(first),
            qemu_plugin_insn_haddr(first) as u64,
        )
    };
    // EL2 runs with VA = PA, so its first instruction gives RAM's address on the host.
    if plugin.host.is_none() && el == 2 && host != 0 && pc.wrapping_sub(base) < size {
        plugin.host = Some(host.wrapping_sub(pc - base));
    }
    let offset = plugin.host.map(|ram| host.wrapping_sub(ram)).filter(|&offset| offset < size);
    let pa = offset.map(|offset| base + offset);
    let block = plugin.observer.block(&mut plugin.machine, el, pc, pa, 4 * count as u64);
    if !block.is_firmware() {
        // QEMU may run the block at any later time, so the callbacks' data is never freed.
        let block = Box::into_raw(Box::new(block)).cast();
        // SAFETY: the block is QEMU's, and the data has the type that the callback takes.
        unsafe { qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, block) };
    }
    for index in 0..count {
        let mut word = 0u32;
        // SAFETY: this is QEMU's instruction of this index, four bytes long.
        let (insn, pc) = unsafe {
            let insn = qemu_plugin_tb_get_insn(tb, index);
            qemu_plugin_insn_data(insn, (&raw mut word).cast(), 4);
            (insn, qemu_plugin_insn_vaddr(insn))
        };
        let (hook, transfer) = plugin.observer.instruction(el, pc, word);
        // SAFETY: as above; QEMU passes the text's ownership on, a C string of GLib's.
        unsafe {
            plugin.observer.list(el, pc, word, || {
                let text = qemu_plugin_insn_disas(insn);
                let words = CStr::from_ptr(text)
                    .to_string_lossy()
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ");
                g_free(text.cast());
                words
            });
            if let Some(hook) = hook {
                let data = Box::into_raw(Box::new(hook)).cast();
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_instruction, READS_REGISTERS, data);
            }
            if let Some(transfer) = transfer {
                let data = Box::into_raw(Box::new(transfer)).cast();
                qemu_plugin_register_vcpu_mem_cb(
                    insn,
                    on_access,
                    NO_REGISTERS,
                    LOADS_AND_STORES,
                    data,
                );
            }
        }
    }
}

extern "C" fn on_block(told: c_uint, data: *mut c_void) {
    let mut guard = lock();
    let Some(plugin) = guard.as_mut() else { return };
    let core = plugin.core(told);
    // SAFETY: `on_translation` made the block, and only the holder of this lock uses it.
    let block = unsafe { &mut *data.cast::<Block>() };
    if !plugin.observer.on_block(&mut plugin.machine, core, block) {
        plugin.write_report();
        // SAFETY: ends QEMU here, independent of its other threads.
        unsafe { _exit(0) }
    }
}

extern "C" fn on_instruction(told: c_uint, data: *mut c_void) {
    let mut guard = lock();
    let Some(plugin) = guard.as_mut() else { return };
    let core = plugin.core(told);
    // SAFETY: as above.
    let hook = unsafe { &*data.cast::<Hook>() };
    plugin.observer.on_instruction(&mut plugin.machine, core, hook);
}

extern "C" fn on_access(told: c_uint, info: u32, va: u64, data: *mut c_void) {
    let mut guard = lock();
    let Some(plugin) = guard.as_mut() else { return };
    let core = plugin.core(told);
    // SAFETY: as above; `info` and `va` are QEMU's for the access that just ran.
    let (transfer, told) = unsafe {
        let address = qemu_plugin_get_hwaddr(info, va);
        if address.is_null() {
            return;
        }
        let device = qemu_plugin_hwaddr_is_io(address);
        let told = Told {
            va,
            pa: qemu_plugin_hwaddr_phys_addr(address),
            device,
            size: 1 << qemu_plugin_mem_size_shift(info),
            store: qemu_plugin_mem_is_store(info),
            value: if device { qemu_plugin_mem_get_value(info).data[0] } else { 0 },
        };
        (&*data.cast::<Transfer>(), told)
    };
    plugin.observer.on_access(&mut plugin.machine, core, transfer, told);
}

extern "C" fn on_exit(_: Id, _: *mut c_void) {
    if let Some(plugin) = lock().as_ref() {
        plugin.write_report();
    }
}

fn settings(argument: &str) -> Result<Settings, String> {
    let file = argument.strip_prefix("settings=").ok_or("settings=FILE is wanted")?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}

/// QEMU calls this when it has loaded the library.
///
/// # Safety
/// `argv` has `argc` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let mut arguments = (0..argc as usize).map(|index| {
        // SAFETY: QEMU passes `argc` C strings.
        unsafe { CStr::from_ptr(*argv.add(index)) }.to_string_lossy().into_owned()
    });
    let settings = match settings(&arguments.next_back().unwrap_or_default()) {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("silicon: {why}");
            return 1;
        }
    };
    let machine = Machine {
        registers: BTreeMap::new(),
        // SAFETY: the call only makes an array.
        buffer: unsafe { g_byte_array_new() } as usize,
    };
    *lock() = Some(Plugin {
        observer: Observer::new(settings.clone()),
        machine,
        settings,
        running: Vec::new(),
        host: None,
    });
    // SAFETY: `id` is this plugin's, and the callbacks are of the types that QEMU documents.
    unsafe {
        qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}
