/* A server that does nothing but say the six commands in turn: what the generator reaches against it is the
 * generator's own ceiling. Prints its port; ends with its standard input. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 65536

static const char *const say[] = {"ANSWER\n",
                                  "GET VARIABLE TRUNX_DID\n",
                                  "GET DATA welcome 5000 1\n",
                                  "GET DATA business_check 5000 1\n",
                                  "STREAM FILE goodbye 0123456789*#\n",
                                  "HANGUP\n"};
static unsigned char said[MOST];

int main(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    struct sockaddr_in us = {.sin_family = AF_INET};
    socklen_t size = sizeof us;
    us.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&us, size) || listen(listener, 4096)) return 1;
    getsockname(listener, (struct sockaddr *)&us, &size);
    printf("%d\n", ntohs(us.sin_port));
    fflush(stdout);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    e.data.fd = 0;
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &e);
    for (;;) {
        int n = epoll_wait(poller, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char data[4096];
            if (fd == 0) return 0;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0 && fd < MOST) {
                    said[fd] = 0;
                    e.data.fd = fd;
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
                }
                continue;
            }
            if (recv(fd, data, sizeof data, 0) <= 0 || said[fd] == sizeof say / sizeof *say) {
                close(fd);
            } else {
                const char *line = say[said[fd]++];
                send(fd, line, strlen(line), MSG_NOSIGNAL);
            }
        }
    }
}
