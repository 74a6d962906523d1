/*
 * The message ring over a channel's pages, for C.
 *
 * Its rules (records, trust, waiting, doorbells) are those of the Rust crate `bulkhead-channel`;
 * its documentation explains them. Tests of that crate exchange messages between the two
 * implementations.
 *
 * Needs C11 atomics and a little-endian machine. One thread sends and one receives: the two use
 * separate fields.
 */
#ifndef BULKHEAD_CHANNEL_H
#define BULKHEAD_CHANNEL_H

#include "bulkhead_abi.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Results of the functions below: success, or an error (negative). PEER_WAITS is a success after
 * which the caller must ring the channel.
 */
enum bulkhead_result {
	BULKHEAD_OK = 0,
	BULKHEAD_PEER_WAITS = 1,
	BULKHEAD_FULL = -1,
	BULKHEAD_EMPTY = -2,
	BULKHEAD_TOO_LONG = -3,
	BULKHEAD_BUFFER_TOO_SHORT = -4,
	BULKHEAD_PEER_CORRUPT = -5, /* permanent: this direction is closed */
	BULKHEAD_BAD_GEOMETRY = -6,
	BULKHEAD_NOT_CONNECTED = -7, /* the peer is in another life: see bulkhead_open */
};

/* One end of a channel. Private to the guest. */
struct bulkhead_channel {
	unsigned char *own, *peer;
	uint32_t own_bytes, peer_bytes; /* of data; 0 if that side sends nothing */
	uint32_t wait, peer_wait; /* BULKHEAD_WAIT_* */
	uint64_t pair, peer_pair; /* bits 63:32 of the words that this end and the peer write */
	/* Sending: last record written, last one published, last good index of the peer. */
	uint32_t head, head_published, consumed, send_faults;
	uint64_t consumed_seen; /* the peer's word when this end last looked */
	/*
	 * Receiving: last record released, last one published, last good index of the peer; record
	 * that peek showed.
	 */
	uint32_t tail, tail_published, produced, recv_faults, peeked;
	uint64_t produced_seen;
};

/*
 * A message's words in place: one run, or two where it wraps. The peer can read or write them
 * at any moment.
 */
struct bulkhead_span {
	_Atomic uint64_t *first, *second;
	size_t first_words, second_words;
};

static inline _Atomic uint64_t *bulkhead_index_(unsigned char *region, size_t offset)
{
	return (_Atomic uint64_t *)(void *)(region + offset);
}

/* Returns whether `word` of the peer's is of the two lives that this end knows of. */
static inline bool bulkhead_same_lives_(const struct bulkhead_channel *c, uint64_t word)
{
	return (word ^ c->peer_pair) >> 32 == 0;
}

/* Returns the data word at a free-running byte index. */
static inline _Atomic uint64_t *bulkhead_word_(unsigned char *region, uint32_t bytes,
					       uint32_t index)
{
	unsigned char *data = region + BULKHEAD_LAYOUT_DATA;
	return (_Atomic uint64_t *)(void *)(data + (index & (bytes - 1) & ~7u));
}

/* Returns the word at `index` of a span. */
static inline _Atomic uint64_t *bulkhead_at_(const struct bulkhead_span *span, size_t index)
{
	if (index < span->first_words)
		return span->first + index;
	return span->second + (index - span->first_words);
}

static inline bool bulkhead_shape_(uint64_t size)
{
	uint64_t data = size - BULKHEAD_LAYOUT_DATA;
	return data == 0 || (size > BULKHEAD_LAYOUT_DATA && data >= 16 && data <= 0x80000000u &&
			     (data & (data - 1)) == 0);
}

/* Returns the bytes of a message's record; 0 if it is longer than the ring can ever take. */
static inline uint32_t bulkhead_record_(size_t len, uint32_t ring)
{
	return ring != 0 && len <= ring - 8 ? 8 + (((uint32_t)len + 7) & ~7u) : 0;
}

/* Returns whether the peer's wanted index is in what was published: after `old`, up to `now`. */
static inline int bulkhead_crossed_(uint32_t old, uint32_t now, uint32_t want)
{
	return (uint32_t)(now - want) < (uint32_t)(now - old) ? BULKHEAD_PEER_WAITS : BULKHEAD_OK;
}

/*
 * Opens an end. `own` is where the pages it writes are mapped, `peer` where the peer's are, which
 * it never writes. Sizes are in bytes as EL2 gave them, never from the pages. The generations are
 * those of this end's partition and of the peer's, as BULKHEAD_CALL_PEER returns them. If
 * the indices in `own` are of the same lives, the end continues there; otherwise the channel is
 * new. Both ends take doorbells until bulkhead_waits says otherwise.
 *
 * Ring the channel after this, since the peer may wait for it. If a function returns
 * NOT_CONNECTED and the peer's generation has changed, open the end again.
 */
static inline int bulkhead_open(struct bulkhead_channel *c, void *own, uint64_t own_size,
				const void *peer, uint64_t peer_size, uint16_t own_generation,
				uint16_t peer_generation)
{
	const size_t indices[] = { BULKHEAD_LAYOUT_WANT_DATA, BULKHEAD_LAYOUT_WANT_ROOM,
				   BULKHEAD_LAYOUT_CONSUMED, BULKHEAD_LAYOUT_PRODUCED };
	memset(c, 0, sizeof(*c));
	if (!bulkhead_shape_(own_size) || !bulkhead_shape_(peer_size))
		return BULKHEAD_BAD_GEOMETRY;
	c->own = own;
	c->peer = (unsigned char *)peer;
	c->own_bytes = (uint32_t)(own_size - BULKHEAD_LAYOUT_DATA);
	c->peer_bytes = (uint32_t)(peer_size - BULKHEAD_LAYOUT_DATA);
	c->pair = (uint64_t)own_generation << 32 | (uint64_t)peer_generation << 48;
	c->peer_pair = (uint64_t)peer_generation << 32 | (uint64_t)own_generation << 48;
	uint64_t produced = atomic_load_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_PRODUCED),
						 memory_order_relaxed);
	uint64_t consumed = atomic_load_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_CONSUMED),
						 memory_order_relaxed);
	if (((produced ^ c->pair) | (consumed ^ c->pair)) >> 32 != 0) {
		/* A peer that sees the pair sees no wish of another life. */
		for (size_t i = 0; i < 4; i++)
			atomic_store_explicit(bulkhead_index_(c->own, indices[i]),
					      i < 2 ? 0 : c->pair, memory_order_release);
		produced = consumed = 0;
	}
	c->head = (uint32_t)produced & ~7u;
	c->head_published = c->head;
	c->consumed = c->head - c->own_bytes;
	c->tail = (uint32_t)consumed & ~7u;
	c->tail_published = c->tail;
	c->produced = c->tail;
	c->produced_seen = c->peer_pair | c->tail;
	return BULKHEAD_OK;
}

/* Says how this end and its peer wait, both as the device tree has it. */
static inline void bulkhead_waits(struct bulkhead_channel *c, uint32_t wait, uint32_t peer_wait)
{
	c->wait = wait;
	c->peer_wait = peer_wait;
}

/*
 * Reads the peer's CONSUMED once: it may only advance, by whole units, up to what was published.
 * An index of other lives changes nothing.
 */
static inline int bulkhead_refresh_room_(struct bulkhead_channel *c)
{
	uint64_t word = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_CONSUMED),
					     memory_order_acquire);
	uint32_t now = bulkhead_same_lives_(c, word) ? (uint32_t)word : c->consumed;
	c->consumed_seen = word;
	uint32_t known = c->head_published - c->consumed;
	bool bad = (uint32_t)(c->head_published - now) > known || (now & 7) != 0;
	if (c->send_faults != 0 || bad) {
		c->send_faults += c->send_faults != UINT32_MAX;
		return BULKHEAD_PEER_CORRUPT;
	}
	c->consumed = now;
	return BULKHEAD_OK;
}

/*
 * Reads the peer's PRODUCED once: it may only advance, by whole units, up to a ring ahead of what
 * it knows was consumed. An index of other lives changes nothing.
 */
static inline int bulkhead_refresh_data_(struct bulkhead_channel *c)
{
	uint64_t word = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_PRODUCED),
					     memory_order_acquire);
	uint32_t now = bulkhead_same_lives_(c, word) ? (uint32_t)word : c->produced;
	c->produced_seen = word;
	uint32_t ahead = now - c->tail_published;
	bool bad = ahead < (uint32_t)(c->produced - c->tail_published) || ahead > c->peer_bytes ||
		   (now & 7) != 0;
	if (c->recv_faults != 0 || bad) {
		c->recv_faults += c->recv_faults != UINT32_MAX;
		return BULKHEAD_PEER_CORRUPT;
	}
	c->produced = now;
	return BULKHEAD_OK;
}

/*
 * Returns an error if the peer began another life after this end last looked: what was read since
 * then may not be of the old one, of which no message is left.
 */
static inline int bulkhead_check_life_(struct bulkhead_channel *c)
{
	atomic_thread_fence(memory_order_acquire);
	c->produced_seen = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_PRODUCED),
						memory_order_relaxed);
	if (bulkhead_same_lives_(c, c->produced_seen))
		return BULKHEAD_OK;
	c->produced = c->tail;
	return BULKHEAD_NOT_CONNECTED;
}

static inline uint32_t bulkhead_room_(const struct bulkhead_channel *c)
{
	return c->own_bytes - (uint32_t)(c->head - c->consumed);
}

/* Returns the `len` bytes from a free-running byte index on, in whole words. */
static inline struct bulkhead_span bulkhead_span_(unsigned char *region, uint32_t bytes,
						  uint32_t index, size_t len)
{
	size_t words = (len + 7) / 8;
	size_t tail = (bytes - (index & (bytes - 1) & ~7u)) / 8;
	struct bulkhead_span span = { bulkhead_word_(region, bytes, index),
				      bulkhead_word_(region, bytes, 0), words, 0 };
	if (words > tail) {
		span.first_words = tail;
		span.second_words = words - tail;
	}
	return span;
}

/*
 * Leases room for a message of at most `len` bytes, to be written in place. bulkhead_commit makes
 * it a message.
 */
static inline int bulkhead_reserve(struct bulkhead_channel *c, size_t len,
				   struct bulkhead_span *span)
{
	uint32_t size = bulkhead_record_(len, c->own_bytes);
	if (size == 0)
		return BULKHEAD_TOO_LONG;
	if (c->send_faults != 0 || bulkhead_room_(c) < size) {
		int error = bulkhead_refresh_room_(c);
		if (error != BULKHEAD_OK)
			return error;
		if (bulkhead_room_(c) < size)
			return bulkhead_same_lives_(c, c->consumed_seen) ? BULKHEAD_FULL :
									   BULKHEAD_NOT_CONNECTED;
	}
	*span = bulkhead_span_(c->own, c->own_bytes, c->head + 8, len);
	return BULKHEAD_OK;
}

/*
 * Makes the first `len` bytes, at most those leased, the message; the peer sees it after
 * bulkhead_publish.
 */
static inline void bulkhead_commit(struct bulkhead_channel *c, size_t len)
{
	atomic_store_explicit(bulkhead_word_(c->own, c->own_bytes, c->head), (uint64_t)len,
			      memory_order_relaxed);
	c->head += bulkhead_record_(len, c->own_bytes);
}

/* Puts one message into the ring; the peer sees it after bulkhead_publish. */
static inline int bulkhead_push(struct bulkhead_channel *c, const void *message, size_t len)
{
	const unsigned char *from = message;
	struct bulkhead_span span;
	int result = bulkhead_reserve(c, len, &span);
	if (result != BULKHEAD_OK)
		return result;
	for (size_t at = 0; at < len; at += 8) {
		size_t index = at / 8;
		uint64_t word = 0;
		memcpy(&word, from + at, len - at < 8 ? len - at : 8);
		atomic_store_explicit(bulkhead_at_(&span, index), word, memory_order_relaxed);
	}
	bulkhead_commit(c, len);
	return BULKHEAD_OK;
}

/* Shows the peer every message put so far: one store, at most one doorbell (PEER_WAITS). */
static inline int bulkhead_publish(struct bulkhead_channel *c)
{
	uint32_t old = c->head_published;
	if (old == c->head)
		return BULKHEAD_OK;
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_PRODUCED), c->pair | c->head,
			      memory_order_release);
	c->head_published = c->head;
	if (c->peer_wait != BULKHEAD_WAIT_DOORBELL)
		return BULKHEAD_OK;
	/* Of this store and the peer's of the wanted index, the other side sees at least one. */
	atomic_thread_fence(memory_order_seq_cst);
	uint64_t want = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_WANT_DATA),
					     memory_order_relaxed);
	return bulkhead_crossed_(old, c->head, (uint32_t)want);
}

/* Puts one message and publishes it with all before it. */
static inline int bulkhead_try_send(struct bulkhead_channel *c, const void *message, size_t len)
{
	int result = bulkhead_push(c, message, len);
	return result == BULKHEAD_OK ? bulkhead_publish(c) : result;
}

/*
 * Publishes, and asks the peer for a doorbell once `room` bytes are free (a record's at least, a
 * ring's at most). Sleep only if `*ready` is false, after ringing if the result is PEER_WAITS.
 */
static inline int bulkhead_wait_room(struct bulkhead_channel *c, size_t len, uint32_t room,
				     bool *ready)
{
	uint32_t size = bulkhead_record_(len, c->own_bytes);
	*ready = false;
	if (size == 0)
		return BULKHEAD_TOO_LONG;
	int result = bulkhead_publish(c);
	if (c->wait == BULKHEAD_WAIT_DOORBELL) {
		room = room < size ? size : room > c->own_bytes ? c->own_bytes : room;
		atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_WANT_ROOM),
				      (uint32_t)(c->head + room - c->own_bytes),
				      memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
	}
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
	atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_CONSUMED), c->pair | c->tail,
			      memory_order_release);
	c->tail_published = c->tail;
	if (c->peer_wait != BULKHEAD_WAIT_DOORBELL)
		return BULKHEAD_OK;
	atomic_thread_fence(memory_order_seq_cst);
	uint64_t want = atomic_load_explicit(bulkhead_index_(c->peer, BULKHEAD_LAYOUT_WANT_ROOM),
					     memory_order_relaxed);
	return bulkhead_crossed_(old, c->tail, (uint32_t)want);
}

/*
 * Shows the next message in place; it stays the next one until bulkhead_skip. Read each word once,
 * and check what was read. Act on it only after bulkhead_skip has succeeded.
 */
static inline int bulkhead_peek(struct bulkhead_channel *c, struct bulkhead_span *span, size_t *len)
{
	if (c->recv_faults != 0 || c->produced == c->tail) {
		int error = bulkhead_refresh_data_(c);
		if (error != BULKHEAD_OK)
			return error;
		if (c->produced == c->tail)
			return bulkhead_same_lives_(c, c->produced_seen) ? BULKHEAD_EMPTY :
									   BULKHEAD_NOT_CONNECTED;
	}
	uint32_t filled = c->produced - c->tail;
	uint64_t length = atomic_load_explicit(bulkhead_word_(c->peer, c->peer_bytes, c->tail),
					       memory_order_relaxed);
	if (length > filled - 8) {
		if (bulkhead_check_life_(c) != BULKHEAD_OK)
			return BULKHEAD_NOT_CONNECTED;
		c->recv_faults = 1;
		return BULKHEAD_PEER_CORRUPT;
	}
	*len = (size_t)length;
	*span = bulkhead_span_(c->peer, c->peer_bytes, c->tail + 8, *len);
	c->peeked = 8 + (((uint32_t)length + 7) & ~7u);
	return BULKHEAD_OK;
}

/*
 * Ends the use of the message that bulkhead_peek showed; the peer has its room back after
 * bulkhead_release. NOT_CONNECTED: what was read may not be the message.
 */
static inline int bulkhead_skip(struct bulkhead_channel *c)
{
	int result = bulkhead_check_life_(c);
	if (result == BULKHEAD_OK)
		c->tail += c->peeked;
	c->peeked = 0;
	return result;
}

/*
 * Copies the next message out; the peer has its room back after bulkhead_release. `*len` is its
 * length, also when the buffer is too short.
 */
static inline int bulkhead_pull(struct bulkhead_channel *c, void *buffer, size_t space, size_t *len)
{
	unsigned char *to = buffer;
	struct bulkhead_span span;
	int result = bulkhead_peek(c, &span, len);
	if (result != BULKHEAD_OK)
		return result;
	if (*len > space)
		return BULKHEAD_BUFFER_TOO_SHORT;
	for (size_t at = 0; at < *len; at += 8) {
		size_t index = at / 8;
		uint64_t word = atomic_load_explicit(bulkhead_at_(&span, index),
						     memory_order_relaxed);
		memcpy(to + at, &word, *len - at < 8 ? *len - at : 8);
	}
	return bulkhead_skip(c);
}

/* Copies the next message out and gives its room back. */
static inline int bulkhead_recv(struct bulkhead_channel *c, void *buffer, size_t space, size_t *len)
{
	int result = bulkhead_pull(c, buffer, space, len);
	return result == BULKHEAD_OK ? bulkhead_release(c) : result;
}

/*
 * Publishes released room, and asks the peer for a doorbell once `bytes` bytes of records are there
 * (half a ring at most), so that a stream costs one for many messages. Sleep only if `*ready` is
 * false, after ringing if the result is PEER_WAITS. If `bytes` is more than 8, sleep with a
 * deadline, since the peer may pause before.
 */
static inline int bulkhead_wait_data_for(struct bulkhead_channel *c, uint32_t bytes, bool *ready)
{
	int result = bulkhead_release(c);
	*ready = false;
	if (c->wait == BULKHEAD_WAIT_DOORBELL) {
		bytes = bytes > c->peer_bytes / 2 ? c->peer_bytes / 2 : bytes;
		atomic_store_explicit(bulkhead_index_(c->own, BULKHEAD_LAYOUT_WANT_DATA),
				      (uint32_t)(c->tail + (bytes < 8 ? 8 : bytes)),
				      memory_order_relaxed);
		atomic_thread_fence(memory_order_seq_cst);
	}
	int error = bulkhead_refresh_data_(c);
	*ready = error == BULKHEAD_OK && c->produced != c->tail;
	return error == BULKHEAD_OK ? result : error;
}

/* Does the same for the next message. */
static inline int bulkhead_wait_data(struct bulkhead_channel *c, bool *ready)
{
	return bulkhead_wait_data_for(c, 8, ready);
}

/*
 * Does one step of waiting for an end without doorbells: until `index` may differ from `seen`, or
 * for a while. The load marks the index in the exclusive monitor, so that the peer's store ends the
 * WFE. Enable the event stream (CNTKCTL_EL1.EVNTEN) as a fallback.
 */
static inline void bulkhead_pause_(const struct bulkhead_channel *c, size_t offset, uint64_t seen)
{
#if defined(__aarch64__)
	if (c->wait == BULKHEAD_WAIT_WFE) {
		uint64_t value;
		__asm__ volatile("ldaxr %0, [%1]\n\tcmp %0, %2\n\tb.ne 1f\n\twfe\n1:"
				 : "=&r"(value)
				 : "r"(bulkhead_index_(c->peer, offset)), "r"(seen)
				 : "cc", "memory");
		return;
	}
	__asm__ volatile("yield");
#else
	(void)c, (void)offset, (void)seen;
#endif
}

/*
 * Functions that waiting needs from the surrounding system. `sleep` must return for each doorbell
 * of the channel, also one that another thread or channel has taken: the peer may have restarted.
 */
struct bulkhead_port {
	/* Rings the channel: BULKHEAD_CALL_RING. */
	void (*ring)(void *context);
	/*
	 * An end with doorbells: sleeps until the doorbell's interrupt. Others: returns at once.
	 * False gives the wait up.
	 */
	bool (*sleep)(void *context);
	void *context;
};

static inline bool bulkhead_nap_(const struct bulkhead_channel *c,
				 const struct bulkhead_port *port, size_t offset, uint64_t seen)
{
	if (c->wait != BULKHEAD_WAIT_DOORBELL)
		bulkhead_pause_(c, offset, seen);
	return port->sleep(port->context);
}

/*
 * Receives like bulkhead_recv, and waits in the end's way: EMPTY only if `sleep` gave up,
 * NOT_CONNECTED if the peer is not connected after a wait. It rings by itself: the result is never
 * PEER_WAITS.
 */
static inline int bulkhead_recv_wait(struct bulkhead_channel *c, const struct bulkhead_port *port,
				     void *buffer, size_t space, size_t *len)
{
	for (bool waited = false;; waited = true) {
		bool ready;
		int result = bulkhead_recv(c, buffer, space, len);
		if (result == BULKHEAD_PEER_WAITS)
			port->ring(port->context);
		if (result != BULKHEAD_EMPTY && (result != BULKHEAD_NOT_CONNECTED || waited))
			return result < 0 ? result : BULKHEAD_OK;
		result = bulkhead_wait_data(c, &ready);
		if (result == BULKHEAD_PEER_WAITS)
			port->ring(port->context);
		if (result < 0)
			return result;
		if (!ready && !bulkhead_nap_(c, port, BULKHEAD_LAYOUT_PRODUCED, c->produced_seen))
			return BULKHEAD_EMPTY;
	}
}

/*
 * Sends like bulkhead_try_send, and waits for room in the end's way: FULL only if `sleep` gave up,
 * NOT_CONNECTED if the peer is not connected after a wait. It rings by itself, too.
 */
static inline int bulkhead_send_wait(struct bulkhead_channel *c, const struct bulkhead_port *port,
				     const void *message, size_t len)
{
	for (bool waited = false;; waited = true) {
		bool ready;
		int result = bulkhead_try_send(c, message, len);
		if (result == BULKHEAD_PEER_WAITS)
			port->ring(port->context);
		if (result != BULKHEAD_FULL && (result != BULKHEAD_NOT_CONNECTED || waited))
			return result < 0 ? result : BULKHEAD_OK;
		/* Asks for half of the room at once: one doorbell for many messages. */
		result = bulkhead_wait_room(c, len, c->own_bytes / 2, &ready);
		if (result == BULKHEAD_PEER_WAITS)
			port->ring(port->context);
		if (result < 0)
			return result;
		if (!ready && !bulkhead_nap_(c, port, BULKHEAD_LAYOUT_CONSUMED, c->consumed_seen))
			return BULKHEAD_FULL;
	}
}

#endif
