/*
 * Bulkhead's guest interface for C: the numbers of the Rust crate `bulkhead-abi`, against which a test holds them.
 */
#ifndef BULKHEAD_ABI_H
#define BULKHEAD_ABI_H

/* Calls: function number in W0, arguments from X1, result in X0, by HVC or SMC (Arm DEN 0028). */
#define BULKHEAD_CALL_VERSION 0xc6000000
#define BULKHEAD_CALL_QUERY 0xc6000001
#define BULKHEAD_CALL_CHANNEL 0xc6000002
#define BULKHEAD_CALL_RING 0xc6000003
#define BULKHEAD_CALL_MASK 0xc6000004
#define BULKHEAD_CALL_STATUS 0xc6000005
#define BULKHEAD_CALL_PEER 0xc6000006
#define BULKHEAD_CALL_ENTRIES 0xc6000007
#define BULKHEAD_CALL_FAIL 0xc6000008
#define BULKHEAD_CALL_WORK 0xc6000009

/* Errors of calls. */
#define BULKHEAD_ERROR_NOT_SUPPORTED (-1)
#define BULKHEAD_ERROR_BAD_HANDLE (-2)
#define BULKHEAD_ERROR_BAD_ARGUMENT (-3)
#define BULKHEAD_ERROR_PEER_DOWN (-4)
#define BULKHEAD_ERROR_NO_DOORBELL (-5)

/* Answers of RING. */
#define BULKHEAD_RING_SENT 0
#define BULKHEAD_RING_COALESCED 1
#define BULKHEAD_RING_DEFERRED 2

/* How an end waits: `bulkhead,wait` and `bulkhead,peer-wait` of its device-tree node. Only DOORBELL ends are rung. */
#define BULKHEAD_WAIT_DOORBELL 0
#define BULKHEAD_WAIT_WFE 1
#define BULKHEAD_WAIT_POLL 2

/* Offsets in a region, in bytes: indices and wanted indices (uint32_t), then the data. */
#define BULKHEAD_LAYOUT_PRODUCED 0x000
#define BULKHEAD_LAYOUT_CONSUMED 0x080
#define BULKHEAD_LAYOUT_WANT_DATA 0x100
#define BULKHEAD_LAYOUT_WANT_ROOM 0x180
#define BULKHEAD_LAYOUT_DATA 0x1000

#endif
