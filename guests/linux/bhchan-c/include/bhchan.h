/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Channels of Bulkhead for C programs under Linux: the Rust crate `bhchan` as a static library.
 * Link with -lbhchan_c, and with -lpthread -ldl -lm where the C library has them apart.
 *
 * A handle belongs to one thread at a time. Functions return 0 or more on success and one of
 * enum bhchan_error otherwise; bhchan_error() then has a line of text. A peer whose partition has
 * restarted is reported once, as BHCHAN_RESTARTED: messages on their way are lost, and the handle
 * then works in the peer's new life.
 */
#ifndef BHCHAN_H
#define BHCHAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bhchan;

/* The numbers are the exit codes of the command `bhchan`, negative. */
enum bhchan_error {
	BHCHAN_FAILED = -1, /* the kernel refused something */
	BHCHAN_BAD_ARGUMENT = -2, /* a null pointer, a message that is too long, a short buffer */
	BHCHAN_NO_CHANNEL = -3, /* no such channel, or not set up */
	BHCHAN_BUSY = -4, /* another process has it open */
	BHCHAN_TIMED_OUT = -5,
	BHCHAN_RESTARTED = -6, /* the peer's partition has restarted */
	BHCHAN_PEER_CORRUPT = -7, /* the peer broke the protocol: this direction is closed */
};

/* Flag of bhchan_open: look at the channel again and again, instead of sleeping. */
#define BHCHAN_POLL 1u

/* Time limit that never ends. */
#define BHCHAN_FOREVER (-1)

/*
 * Opens a channel by its name in the system's manifest, or by its address on the PCI bus; NULL is
 * the only one there is. Without BHCHAN_POLL it is bound to uio_pci_generic first, if it is not.
 */
int bhchan_open(struct bhchan **handle, const char *name, unsigned int flags);

/* Closes a channel. NULL is allowed. */
void bhchan_close(struct bhchan *handle);

/* Returns the length of the longest message that can be sent, or that can arrive. */
size_t bhchan_longest(const struct bhchan *handle);
size_t bhchan_longest_received(const struct bhchan *handle);

/* Sends one message; waits for room and for the peer for at most `timeout` milliseconds. */
int bhchan_send(struct bhchan *handle, const void *message, size_t length, int timeout);

/* Copies the next message into `buffer`, and returns its length; waits as bhchan_send does. */
int64_t bhchan_recv(struct bhchan *handle, void *buffer, size_t space, int timeout);

/* Waits until the peer has taken every message. */
int bhchan_drain(struct bhchan *handle, int timeout);

/*
 * For programs with an event loop. bhchan_fd returns a descriptor that becomes readable at an
 * interrupt, for poll or epoll (-1 with BHCHAN_POLL). The order is: receive and send with a timeout
 * of 0 until BHCHAN_TIMED_OUT; bhchan_arm, which returns 1 if there is something to do already;
 * else sleep on the descriptor; bhchan_acknowledge. `room` is the length of a message that waits
 * for room, or 0.
 */
int bhchan_fd(const struct bhchan *handle);
int bhchan_arm(struct bhchan *handle, size_t room);
int bhchan_acknowledge(struct bhchan *handle);

/* Returns a line about this thread's last error. It is valid until its next error. */
const char *bhchan_error(void);

#ifdef __cplusplus
}
#endif

#endif
