/*
 * Bulkhead's guest interface for C: call numbers, channel layout, and the message ring over a channel's pages.
 *
 * The ring's rules (records, trust, doorbells) are those of the Rust crate `bulkhead-channel`; its documentation explains them. Tests
 * of that crate hold the numbers below against `bulkhead-abi` and exchange messages between the two implementations.
 *
 * Needs C11 atomics and a little-endian machine. One thread sends and one receives: the two use separate fields.
 */
#ifndef BULKHEAD_CHANNEL_H
#define BULKHEAD_CHANNEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Offsets in a region, in bytes: indices and wanted indices (uint32_t), then the data. */
#define BULKHEAD_LAYOUT_PRODUCED 0x000
#define BULKHEAD_LAYOUT_CONSUMED 0x080
#define BULKHEAD_LAYOUT_WANT_DATA 0x100
#define BULKHEAD_LAYOUT_WANT_ROOM 0x180
#define BULKHEAD_LAYOUT_DATA 0x1000

/* What the functions below return: no error, or an error (negative). PEER_WAITS: done, now ring the channel. */
enum bulkhead_result {
	BULKHEAD_OK = 0,
	BULKHEAD_PEER_WAITS = 1,
	BULKHEAD_FULL = -1,
	BULKHEAD_EMPTY = -2,
	BULKHEAD_TOO_LONG = -3,
	BULKHEAD_BUFFER_TOO_SHORT = -4,
	BULKHEAD_PEER_CORRUPT = -5, /* lasts: this direction is closed */
	BULKHEAD_BAD_GEOMETRY = -6,
};

/* One end of a channel. Private to the guest. */
struct bulkhead_channel {
	unsigned char *own, *peer;
	uint32_t own_bytes, peer_bytes; /* of data */
	/* Sending: last record written, last one published, last good index of the peer. */
	uint32_t head, head_published, consumed, send_faults;
	/* Receiving: last record released, last one published, last good index of the peer. */
	uint32_t tail, tail_published, produced, recv_faults;
};

static inline _Atomic uint32_t *bulkhead_index_(unsigned char *region, size_t offset)
{
	return (_Atomic uint32_t *)(void *)(region + offset);
}

/* The data word at a free-running byte index. */
static inline _Atomic uint64_t *bulkhead_word_(unsigned char *region, uint32_t bytes, uint32_t index)
{
	return (_Atomic uint64_t *)(void *)(region + BULKHEAD_LAYOUT_DATA + (index & (bytes - 1) & ~7u));
}

static inline bool bulkhead_shape_(uint64_t size)
{
	uint64_t data = size - BULKHEAD_LAYOUT_DATA;
	return size > BULKHEAD_LAYOUT_DATA && data >= 16 && data <= 0x80000000u && (data & (data - 1)) == 0;
}

/* Bytes of the record for a message; 0 if it is longer than the ring can ever take. */
static inline uint32_t bulkhead_record_(size_t len, uint32_t ring)
{
	return len <= ring - 8 ? 8 + (((uint32_t)len + 7) & ~7u) : 0;
}

/* Whether the peer's wanted index lies in what was published: after `old`, up to `now`. */
static inline int bulkhead_crossed_(uint32_t old, uint32_t now, uint32_t want)
{
	return (uint32_t)(now - want) < (uint32_t)(now - old) ? BULKHEAD_PEER_WAITS : BULKHEAD_OK;
}

/*
 * Opens an end: `own` is where the pages it writes are mapped, `peer` the peer's (never written to); sizes in bytes as EL2
 * gave them, never from the pages. It goes on where the indices in `own` stand.
 */
static inline int bulkhead_open(struct bulkhead_channel *c, void *own, uint64_t own_size, const void *peer, uint64_t peer_size)
{
	memset(c, 0, sizeof(*c));
	if (!bulkhead_shape_(own_size) || !bulkhead_shape_(peer_size))
		return BULKHEAD_BAD_GEOMETRY;
	c->own = own;
	c->peer = (unsigned char *)peer;
	c->own_bytes = (uint32_t)(own_size - BULKHEAD_LAYOUT_DATA);
	c->peer_bytes = (uint32_t)(peer_size - BULKHEAD_LAYOUT_DATA);
	c->head = atomic_load_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_PRODUCED), memory_order_relaxed) & ~7u;
	c->head_published = c->head;
	c->consumed = c->head - c->own_bytes;
	c->tail = atomic_load_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_CONSUMED), memory_order_relaxed) & ~7u;
	c->tail_published = c->tail;
	c->produced = c->tail;
	return BULKHEAD_OK;
}

/* Reads the peer's CONSUMED once: it may only advance, by whole units, up to what was published. */
static inline int bulkhead_refresh_room_(struct bulkhead_channel *c)
{
	uint32_t now = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_CONSUMED), memory_order_acquire);
	bool bad = (uint32_t)(c->head_published - now) > (uint32_t)(c->head_published - c->consumed) || (now & 7) != 0;
	if (c->send_faults != 0 || bad) {
		c->send_faults += c->send_faults != UINT32_MAX;
		return BULKHEAD_PEER_CORRUPT;
	}
	c->consumed = now;
	return BULKHEAD_OK;
}

/* Reads the peer's PRODUCED once: it may only advance, by whole units, up to a ring ahead of what it knows was consumed. */
static inline int bulkhead_refresh_data_(struct bulkhead_channel *c)
{
	uint32_t now = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_PRODUCED), memory_order_acquire);
	uint32_t ahead = now - c->tail_published;
	bool bad = ahead < (uint32_t)(c->produced - c->tail_published) || ahead > c->peer_bytes || (now & 7) != 0;
	if (c->recv_faults != 0 || bad) {
		c->recv_faults += c->recv_faults != UINT32_MAX;
		return BULKHEAD_PEER_CORRUPT;
	}
	c->produced = now;
	return BULKHEAD_OK;
}

static inline uint32_t bulkhead_room_(const struct bulkhead_channel *c)
{
	return c->own_bytes - (uint32_t)(c->head - c->consumed);
}

/* Puts one message into the ring; the peer sees it after bulkhead_publish. */
static inline int bulkhead_push(struct bulkhead_channel *c, const void *message, size_t len)
{
	const unsigned char *from = message;
	uint32_t size = bulkhead_record_(len, c->own_bytes);
	if (size == 0)
		return BULKHEAD_TOO_LONG;
	if (c->send_faults != 0 || bulkhead_room_(c) < size) {
		int error = bulkhead_refresh_room_(c);
		if (error != BULKHEAD_OK)
			return error;
		if (bulkhead_room_(c) < size)
			return BULKHEAD_FULL;
	}
	atomic_store_explicit(bulkhead_word_(c->own, c->own_bytes, c->head), (uint64_t)len, memory_order_relaxed);
	for (size_t at = 0; at < len; at += 8) {
		uint64_t word = 0;
		memcpy(&word, from + at, len - at < 8 ? len - at : 8);
		atomic_store_explicit(bulkhead_word_(c->own, c->own_bytes, c->head + 8 + (uint32_t)at), word, memory_order_relaxed);
	}
	c->head += size;
	return BULKHEAD_OK;
}

/* Shows the peer every message put so far: one store, at most one doorbell (PEER_WAITS). */
static inline int bulkhead_publish(struct bulkhead_channel *c)
{
	uint32_t old = c->head_published;
	if (old == c->head)
		return BULKHEAD_OK;
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_PRODUCED), c->head, memory_order_release);
	c->head_published = c->head;
	/* Of this store and the peer's store of the wanted index, one is seen by the other side. */
	atomic_thread_fence(memory_order_seq_cst);
	return bulkhead_crossed_(old, c->head, atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_WANT_DATA), memory_order_relaxed));
}

/* Puts one message and publishes it with all before it. */
static inline int bulkhead_try_send(struct bulkhead_channel *c, const void *message, size_t len)
{
	int result = bulkhead_push(c, message, len);
	return result == BULKHEAD_OK ? bulkhead_publish(c) : result;
}

/*
 * Publishes, and asks the peer for a doorbell once `room` bytes are free (a record's at least, a ring's at most). Sleep only if
 * `*ready` is false, after ringing where the answer is PEER_WAITS.
 */
static inline int bulkhead_wait_room(struct bulkhead_channel *c, size_t len, uint32_t room, bool *ready)
{
	uint32_t size = bulkhead_record_(len, c->own_bytes);
	*ready = false;
	if (size == 0)
		return BULKHEAD_TOO_LONG;
	int result = bulkhead_publish(c);
	room = room < size ? size : room > c->own_bytes ? c->own_bytes : room;
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_WANT_ROOM), c->head + room - c->own_bytes, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	int error = bulkhead_refresh_room_(c);
	*ready = error == BULKHEAD_OK && bulkhead_room_(c) >= size;
	return error == BULKHEAD_OK ? result : error;
}

/* Gives the room of every message pulled back: one store, at most one doorbell (PEER_WAITS). */
static inline int bulkhead_release(struct bulkhead_channel *c)
{
	uint32_t old = c->tail_published;
	if (old == c->tail)
		return BULKHEAD_OK;
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_CONSUMED), c->tail, memory_order_release);
	c->tail_published = c->tail;
	atomic_thread_fence(memory_order_seq_cst);
	return bulkhead_crossed_(old, c->tail, atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_WANT_ROOM), memory_order_relaxed));
}

/* Copies the next message out; the peer has its room back after bulkhead_release. `*len` is its length, also when the buffer is too short. */
static inline int bulkhead_pull(struct bulkhead_channel *c, void *buffer, size_t space, size_t *len)
{
	unsigned char *to = buffer;
	if (c->recv_faults != 0 || c->produced == c->tail) {
		int error = bulkhead_refresh_data_(c);
		if (error != BULKHEAD_OK)
			return error;
		if (c->produced == c->tail)
			return BULKHEAD_EMPTY;
	}
	uint32_t filled = c->produced - c->tail;
	uint64_t length = atomic_load_explicit(bulkhead_word_(c->peer, c->peer_bytes, c->tail), memory_order_relaxed);
	if (length > filled - 8) {
		c->recv_faults = 1;
		return BULKHEAD_PEER_CORRUPT;
	}
	*len = (size_t)length;
	if (length > space)
		return BULKHEAD_BUFFER_TOO_SHORT;
	for (size_t at = 0; at < length; at += 8) {
		uint64_t word = atomic_load_explicit(bulkhead_word_(c->peer, c->peer_bytes, c->tail + 8 + (uint32_t)at), memory_order_relaxed);
		memcpy(to + at, &word, length - at < 8 ? length - at : 8);
	}
	c->tail += 8 + (((uint32_t)length + 7) & ~7u);
	return BULKHEAD_OK;
}

/* Copies the next message out and gives its room back. */
static inline int bulkhead_recv(struct bulkhead_channel *c, void *buffer, size_t space, size_t *len)
{
	int result = bulkhead_pull(c, buffer, space, len);
	return result == BULKHEAD_OK ? bulkhead_release(c) : result;
}

/* Publishes released room, and asks the peer for a doorbell at its next message. Sleep only if `*ready` is false, after ringing
 * where the answer is PEER_WAITS. */
static inline int bulkhead_wait_data(struct bulkhead_channel *c, bool *ready)
{
	int result = bulkhead_release(c);
	*ready = false;
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_WANT_DATA), c->tail + 8, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	int error = bulkhead_refresh_data_(c);
	*ready = error == BULKHEAD_OK && c->produced != c->tail;
	return error == BULKHEAD_OK ? result : error;
}

#endif
