/*
 * The C side of tests/c_header.rs: echoes every message through the channel of the two files named
 * on the command line. A doorbell to it is a byte on standard input, one from it a byte on standard
 * output. An empty message ends it.
 */
#include "bulkhead_channel.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *what, int code)
{
	fprintf(stderr, "peer.c: %s: %d\n", what, code);
	exit(1);
}

static void *map(const char *path, int flags, int protection, uint64_t *size)
{
	struct stat about;
	int file = open(path, flags);
	if (file < 0 || fstat(file, &about) != 0)
		fail(path, file);
	*size = (uint64_t)about.st_size;
	void *at = mmap(NULL, (size_t)about.st_size, protection, MAP_SHARED, file, 0);
	if (at == MAP_FAILED)
		fail("mmap", -1);
	return at;
}

static void ring(void *context)
{
	(void)context;
	if (write(1, "!", 1) != 1)
		fail("ring", -1);
}

static bool sleep_for_doorbell(void *context)
{
	char bell;
	const struct bulkhead_channel *c = context;
	if (c->wait != BULKHEAD_WAIT_DOORBELL)
		sched_yield();
	else if (read(0, &bell, 1) != 1)
		fail("the other side is gone", -1);
	return true;
}

/* Returns the word at `index` of a span. */
static _Atomic uint64_t *word(const struct bulkhead_span *span, size_t index)
{
	if (index < span->first_words)
		return span->first + index;
	return span->second + (index - span->first_words);
}

/*
 * Copies the next message from the received pages to the sent ones, if it is there and fits.
 * Returns false if the caller must wait.
 */
static bool echo_in_place(struct bulkhead_channel *c, size_t *len)
{
	struct bulkhead_span from, to;
	if (bulkhead_peek(c, &from, len) != BULKHEAD_OK)
		return false;
	if (bulkhead_reserve(c, *len, &to) != BULKHEAD_OK)
		return false;
	for (size_t i = 0; i < (*len + 7) / 8; i++)
		*word(&to, i) = *word(&from, i);
	bulkhead_commit(c, *len);
	if (bulkhead_skip(c) != BULKHEAD_OK)
		fail("the message was taken away", 0);
	if (bulkhead_publish(c) == BULKHEAD_PEER_WAITS)
		ring(NULL);
	if (bulkhead_release(c) == BULKHEAD_PEER_WAITS)
		ring(NULL);
	return true;
}

int main(int argc, char **argv)
{
	struct bulkhead_channel c;
	struct bulkhead_port port = { ring, sleep_for_doorbell, &c };
	struct bulkhead_span span;
	uint64_t own_size, peer_size;
	static unsigned char buffer[8192];
	size_t len = 1;

	if (argc != 6)
		fail("usage: peer OWN PEER doorbell|poll OWN_GENERATION PEER_GENERATION", argc);
	uint16_t mine = (uint16_t)atoi(argv[4]), theirs = (uint16_t)atoi(argv[5]);
	void *own = map(argv[1], O_RDWR, PROT_READ | PROT_WRITE, &own_size);
	void *peer = map(argv[2], O_RDONLY, PROT_READ, &peer_size);
	if (bulkhead_open(&c, own, own_size - 1, peer, peer_size, mine, theirs) !=
	    BULKHEAD_BAD_GEOMETRY)
		fail("opened a region of no shape", 0);
	/* Without data of its own it sends nothing, not even an empty message. */
	if (bulkhead_open(&c, own, BULKHEAD_LAYOUT_DATA, peer, peer_size, mine, theirs) !=
		    BULKHEAD_OK ||
	    bulkhead_reserve(&c, 0, &span) != BULKHEAD_TOO_LONG)
		fail("sent without data", 0);
	if (bulkhead_open(&c, own, own_size, peer, peer_size, mine, theirs) != BULKHEAD_OK)
		fail("open", 0);
	if (strcmp(argv[3], "doorbell") == 0)
		ring(NULL); /* the other side may wait for this end to open */
	if (strcmp(argv[3], "poll") == 0)
		bulkhead_waits(&c, BULKHEAD_WAIT_POLL, BULKHEAD_WAIT_POLL);
	for (unsigned n = 0; len != 0; n++) {
		if (n % 2 != 0 && echo_in_place(&c, &len))
			continue;
		int result = bulkhead_recv_wait(&c, &port, buffer, sizeof(buffer), &len);
		if (result == BULKHEAD_NOT_CONNECTED)
			continue;
		if (result == BULKHEAD_OK)
			result = bulkhead_send_wait(&c, &port, buffer, len);
		if (result != BULKHEAD_OK)
			fail("echo", result);
	}
	return 0;
}
