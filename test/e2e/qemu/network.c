// What the guest does with a network card: sends frames, and says what comes back.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void Network(void);

// The interface that the driver made, by its index; 0: there is none after a while.
static int Interface(char* name) {
  for (int i = 0; i < 100; i++, usleep(100000))
    for (int index = 1; index < 10; index++) {
      struct ifreq asked = {.ifr_ifindex = index};
      const int fd = socket(AF_INET, SOCK_DGRAM, 0);
      const int found = ioctl(fd, SIOCGIFNAME, &asked);
      close(fd);
      if (found == 0 && strcmp(asked.ifr_name, "lo") != 0) {
        strcpy(name, asked.ifr_name);
        return index;
      }
    }
  return 0;
}

static int Carrier(const char* name) {
  char path[64], value = '0';
  snprintf(path, sizeof path, "/sys/class/net/%s/carrier", name);
  for (int i = 0; i < 300 && value != '1'; i++, usleep(100000)) {
    const int fd = open(path, O_RDONLY);
    if (read(fd, &value, 1) != 1) value = '0';
    close(fd);
  }
  return value == '1';
}

// Waits for a frame of the test's type; -1: none has come.
static ssize_t Answer(int fd, uint8_t* frame, size_t most) {
  for (;;) {
    struct pollfd ready = {fd, POLLIN, 0};
    if (poll(&ready, 1, 5000) != 1) return -1;
    const ssize_t got = recv(fd, frame, most, 0);
    if (got < 14 || (frame[12] == 0x88 && frame[13] == 0xb5)) return got;
  }
}

// A TCP packet of many segments, with its header's checksums left to the card.
static void Segments(int index, const uint8_t* mac, size_t payload) {
  static uint8_t packet[65536];
  const int one = 1;
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(0x0800));
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0800), .sll_ifindex = index};
  setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one);
  bind(fd, (struct sockaddr*)&at, sizeof at);
  struct virtio_net_hdr* to = (struct virtio_net_hdr*)packet;
  *to = (struct virtio_net_hdr){VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 1448, 34, 16};
  uint8_t* frame = packet + sizeof *to;
  memset(frame, 0xff, 6), memcpy(frame + 6, mac, 6), frame[12] = 8, frame[13] = 0;
  const uint16_t total = htons((uint16_t)(40 + payload));
  const uint8_t ip[20] = {0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
  memcpy(frame + 14, ip, 20), memcpy(frame + 16, &total, 2);
  uint32_t sum = 0;
  for (int i = 14; i < 34; i += 2) sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  frame[24] = (uint8_t)(~sum >> 8), frame[25] = (uint8_t)~sum;
  const uint8_t tcp[20] = {0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0x20, 0};
  memcpy(frame + 34, tcp, 20);
  // The sum of the pseudo header.
  sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 20 + (uint32_t)payload;
  sum = (sum & 0xffff) + (sum >> 16);
  frame[50] = (uint8_t)(sum >> 8), frame[51] = (uint8_t)sum;
  for (size_t i = 0; i < payload; i++) frame[54 + i] = (uint8_t)(i * 11 + (i >> 8));
  const ssize_t sent = send(fd, packet, sizeof *to + 54 + payload, 0);
  if (sent < 0) perror("segments");
  printf("segments: %zd\n", sent < 0 ? -1 : sent - (ssize_t)(sizeof *to + 54));
  close(fd);
}

// A frame to everyone, which somebody sends back.
static void Echo(int fd, const uint8_t* mac, size_t size) {
  static uint8_t out[8192], in[8192];
  memset(out, 0xff, 6), memcpy(out + 6, mac, 6), out[12] = 0x88, out[13] = 0xb5;
  for (size_t k = 14; k < size; k++) out[k] = (uint8_t)(k * 7 + size);
  if (send(fd, out, size, 0) < 0) perror("send");
  const ssize_t got = Answer(fd, in, sizeof in);
  const int same = got == (ssize_t)size && memcmp(in, mac, 6) == 0 && memcmp(in + 12, out + 12, size - 12) == 0;
  printf("frame: %zu %s\n", size, same ? "same" : got < 0 ? "lost" : "different");
}

// Frames that are longer than usual: the driver has headers and data apart then.
static void Long(int fd, const char* name, const uint8_t* mac) {
  struct ifreq asked = {.ifr_mtu = 4000};
  strcpy(asked.ifr_name, name);
  if (ioctl(fd, SIOCSIFMTU, &asked) != 0) perror("mtu");
  usleep(500000);
  if (!Carrier(name)) puts("link: down");
  const size_t sizes[] = {1515, 3000, 4014};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) Echo(fd, mac, sizes[i]);
}

void Network(void) {
  char name[IFNAMSIZ] = "";
  const int index = Interface(name);
  if (index == 0) return puts("interface: none"), (void)0;
  struct ifreq asked = {0};
  strcpy(asked.ifr_name, name);
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(0x88b5));
  ioctl(fd, SIOCGIFHWADDR, &asked);
  uint8_t mac[6];
  memcpy(mac, asked.ifr_hwaddr.sa_data, 6);
  printf("mac: %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  ioctl(fd, SIOCGIFFLAGS, &asked);
  asked.ifr_flags |= IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &asked) != 0) perror("up");
  printf("link: %s\n", Carrier(name) ? "up" : "down");
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = index};
  bind(fd, (struct sockaddr*)&at, sizeof at);
  const size_t sizes[] = {60, 61, 128, 590, 1024, 1499, 1514};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) Echo(fd, mac, sizes[i]);
  Segments(index, mac, 20000);
  Long(fd, name, mac);
  usleep(500000);
  char line[256];
  FILE* interrupts = fopen("/proc/interrupts", "r");
  while (interrupts && fgets(line, sizeof line, interrupts))
    if (strstr(line, name)) printf("vector: %s", line);
  char path[96];
  for (int i = 0; i < 4; i++) {
    const char* names[] = {"rx_packets", "tx_packets", "rx_errors", "tx_errors"};
    snprintf(path, sizeof path, "/sys/class/net/%s/statistics/%s", name, names[i]);
    FILE* file = fopen(path, "r");
    if (file && fgets(line, sizeof line, file)) printf("%s: %s", names[i], line);
    if (file) fclose(file);
  }
  asked.ifr_flags &= ~IFF_UP;
  ioctl(fd, SIOCSIFFLAGS, &asked);
  close(fd);
}
