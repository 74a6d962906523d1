/*
 * Bulkhead's guest interface for C. Written by `cargo xtask abi` from the Rust crates
 * bulkhead-abi and bulkhead-channel: change it there.
 */
#ifndef BULKHEAD_ABI_H
#define BULKHEAD_ABI_H

/* Major revision of this ABI: a guest built for another does not run. */
#define BULKHEAD_REVISION_MAJOR 2
/* Minor revision of this ABI: calls, errors and properties may have been added since a lower
 * one. */
#define BULKHEAD_REVISION_MINOR 1

/* Calls: function number in W0, arguments from X1, result in X0, by HVC or SMC (Arm DEN 0028). */

/* Returns the ABI revision. The cheapest call. */
#define BULKHEAD_CALL_VERSION 0xc6000000
/* Returns one fact about the caller. */
#define BULKHEAD_CALL_QUERY 0xc6000001
/* Returns where the pages of a channel end are. The pages that the peer writes are as large as
 * the peer's X2. */
#define BULKHEAD_CALL_CHANNEL 0xc6000002
/* Sends a doorbell to the peer. */
#define BULKHEAD_CALL_RING 0xc6000003
/* Holds doorbells of this end back, or lets them through again. None is lost. */
#define BULKHEAD_CALL_MASK 0xc6000004
/* Returns a counter of this end. */
#define BULKHEAD_CALL_STATUS 0xc6000005
/* Returns the state of the peer's partition, and the generations of both partitions: their
 * starts, counted from 1 to 65535, after which 1 follows. */
#define BULKHEAD_CALL_PEER 0xc6000006
/* Returns how often EL2 was entered for a reason on the core of one of the caller's vCPUs. */
#define BULKHEAD_CALL_ENTRIES 0xc6000007
/* Gives the caller's partition up: it stops, its state is `failed`, and EL2's line on the
 * console and the crash record have the code. */
#define BULKHEAD_CALL_FAIL 0xc6000008
/* Returns the instructions that EL2 retired on the caller's core since it started (PMU event
 * INST_RETIRED). */
#define BULKHEAD_CALL_EL2_INSTRUCTIONS 0xc6000009
/* Sets the watchdog of the caller's partition: without another call within the time-out the
 * partition has a fault. Any vCPU may call; there is one watchdog. */
#define BULKHEAD_CALL_WATCHDOG 0xc600000a
/* Returns three words of a crash record. This call and those after it are for supervisors. EL2
 * keeps the last records, and numbers them from 0 on. */
#define BULKHEAD_CALL_CRASH_RECORD 0xc600000b
/* Returns the state of a partition. */
#define BULKHEAD_CALL_PARTITION 0xc600000c
/* Returns how often EL2 was entered for a reason on the core of a partition's vCPU. */
#define BULKHEAD_CALL_PARTITION_ENTRIES 0xc600000d
/* Returns the counters of a channel end of a partition's vCPU: the items of `STATUS`. */
#define BULKHEAD_CALL_PARTITION_DOORBELLS 0xc600000e
/* Orders a partition to stop or to start. Its own cores do so after the call has returned; an
 * order that they have not carried out is replaced by the next one. */
#define BULKHEAD_CALL_SUPERVISE 0xc600000f

/* Errors of calls, in X0. */

/* No such call. */
#define BULKHEAD_ERROR_NOT_SUPPORTED (-1)
/* The handle is not one of the caller's. */
#define BULKHEAD_ERROR_BAD_HANDLE (-2)
/* An argument has no meaning. */
#define BULKHEAD_ERROR_BAD_ARGUMENT (-3)
/* The peer's partition does not run; nothing was sent. */
#define BULKHEAD_ERROR_PEER_DOWN (-4)
/* The peer polls or waits by WFE (`channel::wait`): it takes no doorbells and needs none. */
#define BULKHEAD_ERROR_NO_DOORBELL (-5)
/* EL2 itself failed on a core of the partition, which never starts again. */
#define BULKHEAD_ERROR_DAMAGED (-6)
/* The caller's vCPU has given more orders than `supervise::PER_SECOND`: give it later. */
#define BULKHEAD_ERROR_TOO_MANY (-7)

/* Answers of RING. */

/* A doorbell was sent. */
#define BULKHEAD_RING_SENT 0
/* An earlier doorbell is still pending at the peer, which will see this message with it. */
#define BULKHEAD_RING_COALESCED 1
/* The doorbell exceeds the rate limit: EL2 sends it as soon as the limit allows. */
#define BULKHEAD_RING_DEFERRED 2

/* Items of SUPERVISE. */

/* Stop the partition, also while it is between two lives. One that has stopped stays stopped. */
#define BULKHEAD_SUPERVISE_STOP 1
/* Start the partition if it has stopped, also at its limit of restarts; end its delay if it is
 * between two lives. The window of restarts begins anew. */
#define BULKHEAD_SUPERVISE_START 2
/* Restart the partition if it runs; start it otherwise. The window of restarts begins anew. */
#define BULKHEAD_SUPERVISE_RESTART 3
/* Orders per second that each vCPU of a supervisor may give in the long run. */
#define BULKHEAD_SUPERVISE_PER_SECOND 100
/* Orders that it may give back to back. */
#define BULKHEAD_SUPERVISE_BURST 16

/* Items of QUERY. */

/* The caller's vCPU number. */
#define BULKHEAD_QUERY_VCPU 0
/* Number of vCPUs of the partition. */
#define BULKHEAD_QUERY_VCPUS 1
/* Class of the caller's core: 0 compute, 1 comm. */
#define BULKHEAD_QUERY_CLASS 2
/* Number of channel ends (handles) of the caller. */
#define BULKHEAD_QUERY_ENDS 3
/* Index of the partition in the system. */
#define BULKHEAD_QUERY_PARTITION 4

/* Items of STATUS. */

/* 1 if a doorbell is pending at this end, held back by its mask. */
#define BULKHEAD_STATUS_PENDING 0
/* Doorbells this end sent. */
#define BULKHEAD_STATUS_SENT 1
/* Doorbells this end asked for while one was still pending at the peer. */
#define BULKHEAD_STATUS_COALESCED 2
/* Doorbells of this end that the rate limit put off. */
#define BULKHEAD_STATUS_DEFERRED 3
/* Doorbells this end received. */
#define BULKHEAD_STATUS_RECEIVED 4

/* Answers of PEER. */

/* Not started yet. */
#define BULKHEAD_STATE_LOADING 0
/* Runs. */
#define BULKHEAD_STATE_RUNNING 1
/* Switched itself off (`SYSTEM_OFF`). */
#define BULKHEAD_STATE_OFF 2
/* Asked for a reset (`SYSTEM_RESET`) and stays halted by its policy. */
#define BULKHEAD_STATE_RESET 3
/* Halted by EL2 for a fault. */
#define BULKHEAD_STATE_HALTED 4
/* Gave itself up (`FAIL`). */
#define BULKHEAD_STATE_FAILED 5
/* Stopped, and starts again by its restart policy. */
#define BULKHEAD_STATE_RESTARTING 6
/* Stopped by an order, or with the whole system by another partition's policy. */
#define BULKHEAD_STATE_STOPPED 7

/* Reasons of ENTRIES. */

/* HVC. */
#define BULKHEAD_REASON_HVC 0
/* SMC. */
#define BULKHEAD_REASON_SMC 1
/* Trapped system register or instruction. */
#define BULKHEAD_REASON_SYSREG 2
/* Emulated device access. */
#define BULKHEAD_REASON_MMIO 3
/* A physical interrupt the partition owns, timers included. */
#define BULKHEAD_REASON_INTERRUPT 4
/* An SGI or another kick from a sibling vCPU. */
#define BULKHEAD_REASON_SIBLING 5
/* List registers ran out earlier and have room now. */
#define BULKHEAD_REASON_MAINTENANCE 6
/* EL2's own timer: a doorbell put off by the rate limit. */
#define BULKHEAD_REASON_DEFERRED 7
/* A doorbell of a channel. */
#define BULKHEAD_REASON_DOORBELL 8
/* Console draining, on the console core. */
#define BULKHEAD_REASON_CONSOLE 9
/* Control: start, stop. */
#define BULKHEAD_REASON_CONTROL 10
/* A fault, or anything else. */
#define BULKHEAD_REASON_OTHER 11
/* An access outside everything, answered by an external abort, or cache maintenance there. */
#define BULKHEAD_REASON_ABORT 12

/* How an end waits: numbers for the words in its device-tree node. Only DOORBELL ends are rung. */

/* Sleeps until a doorbell's interrupt. */
#define BULKHEAD_WAIT_DOORBELL 0
/* Watches the peer's index by WFE: takes no doorbells. */
#define BULKHEAD_WAIT_WFE 1
/* Polls the peer's index: takes no doorbells. */
#define BULKHEAD_WAIT_POLL 2

/* Offsets in a channel's region, in bytes: indices and wanted indices (uint32_t), then the data. */

/* How much its writer has produced into its own data, bytes modulo 2^32. */
#define BULKHEAD_LAYOUT_PRODUCED 0x000
/* How much its writer has consumed of the peer's data, bytes modulo 2^32. */
#define BULKHEAD_LAYOUT_CONSUMED 0x080
/* The `PRODUCED` value of the peer at which its writer, as a consumer, wants a doorbell. */
#define BULKHEAD_LAYOUT_WANT_DATA 0x100
/* The `CONSUMED` value of the peer at which its writer, as a producer, wants a doorbell (it
 * waits for room). */
#define BULKHEAD_LAYOUT_WANT_ROOM 0x180
/* Where the data starts. Its size is a power of two, at least one page, or 0 if its writer sends
 * nothing. */
#define BULKHEAD_LAYOUT_DATA 0x1000

/* Strings and properties of the device tree. */

/* `compatible` of the node `/hypervisor`. */
#define BULKHEAD_TREE_HYPERVISOR "bulkhead,hypervisor-v1"
/* `compatible` of a channel's node, a child of the root: `reg` is the pages its vCPU writes,
 * then the peer's; `interrupts` is the SPI (edge) a doorbell makes pending, absent from an end
 * that takes none. */
#define BULKHEAD_TREE_CHANNEL "bulkhead,channel-v2"
/* `u32`: the handle, in a channel's node. */
#define BULKHEAD_TREE_HANDLE "bulkhead,handle"
/* `phandle` of the cpu node whose vCPU the end belongs to, in a channel's node. */
#define BULKHEAD_TREE_CPU "bulkhead,cpu"
/* String: the channel's name, in a channel's node. */
#define BULKHEAD_TREE_NAME "bulkhead,name"
/* String: how this end waits, of `NAMES`, in a channel's node. */
#define BULKHEAD_TREE_WAIT "bulkhead,wait"
/* String: how the peer waits, in a channel's node. Ring it only if that is `doorbell`. */
#define BULKHEAD_TREE_PEER_WAIT "bulkhead,peer-wait"
/* Without a value: the pages are Normal Non-cacheable, in a channel's node. The peer's guest
 * sees the channel as a PCI function. */
#define BULKHEAD_TREE_NON_CACHEABLE "bulkhead,non-cacheable"
/* `compatible` of a supervisor's node, a child of the root: `interrupts` is the SPI (edge) that
 * tells vCPU 0 that a partition's state has changed. */
#define BULKHEAD_TREE_SUPERVISOR "bulkhead,supervisor-v1"
/* Strings: the names of all partitions in the order of their numbers, in a supervisor's node. */
#define BULKHEAD_TREE_PARTITIONS "bulkhead,partitions"
/* String: `comm` or `compute`, in a cpu node. */
#define BULKHEAD_TREE_CLASS "bulkhead,class"

#endif
