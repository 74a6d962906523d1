/* The C side of tests/c_header.rs: echoes every message through the channel of the two files named on the command line.
 * A doorbell to it is a byte on standard input, one from it a byte on standard output. An empty message ends it. */
#include "bulkhead_channel.h"

#include <fcntl.h>
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

static void ring(int result, const char *what)
{
	if (result < 0)
		fail(what, result);
	if (result == BULKHEAD_PEER_WAITS && write(1, "!", 1) != 1)
		fail("ring", -1);
}

static void nap(void)
{
	char bell;
	if (read(0, &bell, 1) != 1)
		fail("the other side is gone", -1);
}

int main(int argc, char **argv)
{
	struct bulkhead_channel c;
	uint64_t own_size, peer_size;
	static unsigned char buffer[8192];
	size_t len;
	bool ready;

	if (argc != 3)
		fail("usage: peer OWN PEER", argc);
	void *own = map(argv[1], O_RDWR, PROT_READ | PROT_WRITE, &own_size);
	void *peer = map(argv[2], O_RDONLY, PROT_READ, &peer_size);
	if (bulkhead_open(&c, own, own_size - 1, peer, peer_size) != BULKHEAD_BAD_GEOMETRY)
		fail("opened a region of no shape", 0);
	if (bulkhead_open(&c, own, own_size, peer, peer_size) != BULKHEAD_OK)
		fail("open", 0);
	for (;;) {
		int result = bulkhead_recv(&c, buffer, sizeof(buffer), &len);
		if (result == BULKHEAD_EMPTY) {
			ring(bulkhead_wait_data(&c, &ready), "wait for data");
			if (!ready)
				nap();
			continue;
		}
		ring(result, "recv");
		while ((result = bulkhead_try_send(&c, buffer, len)) == BULKHEAD_FULL) {
			ring(bulkhead_wait_room(&c, len, 0, &ready), "wait for room");
			if (!ready)
				nap();
		}
		ring(result, "send");
		if (len == 0)
			return 0;
	}
}
