/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ask CHANNEL COUNT: sends COUNT questions over a channel, with an event loop, and prints what
 * comes back. The peer may be `bhchan echo`, in another Linux.
 *
 *     cc -o ask ask.c -lbhchan_c
 */
#include <bhchan.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
	fprintf(stderr, "ask: %s: %s\n", what, bhchan_error());
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct bhchan *channel;
	char text[256];
	int asked = 0, answered = 0;

	if (argc != 3) {
		fprintf(stderr, "usage: ask CHANNEL COUNT\n");
		return 2;
	}
	const int count = atoi(argv[2]);
	if (bhchan_open(&channel, argv[1], 0) < 0)
		return fail("open");

	while (answered < count) {
		/* Ask as much as fits, and take what is there. */
		while (asked < count) {
			snprintf(text, sizeof(text), "question %d", asked);
			int sent = bhchan_send(channel, text, strlen(text), 0);
			if (sent == BHCHAN_TIMED_OUT)
				break;
			if (sent < 0)
				return fail("send");
			asked++;
		}
		int64_t length;
		while ((length = bhchan_recv(channel, text, sizeof(text) - 1, 0)) >= 0) {
			text[length] = '\0';
			printf("%s\n", text);
			answered++;
		}
		if (length != BHCHAN_TIMED_OUT)
			return fail("receive");
		if (answered == count)
			break;

		/* Sleep only if nothing has come meanwhile. */
		int ready = bhchan_arm(channel, asked < count ? sizeof(text) : 0);
		if (ready < 0)
			return fail("arm");
		if (!ready) {
			struct pollfd wait = { .fd = bhchan_fd(channel), .events = POLLIN };
			/* Without a peer, look again after a while: it need not ring. */
			if (poll(&wait, 1, 100) < 0)
				return EXIT_FAILURE;
			if (bhchan_acknowledge(channel) < 0)
				return fail("acknowledge");
		}
	}
	bhchan_close(channel);
	return EXIT_SUCCESS;
}
