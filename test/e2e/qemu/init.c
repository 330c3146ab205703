// The guest's only program: says what it sees of the device, drives it, and turns the machine off.
//
// What it prints on the console is read by the test: lines "name: value", and lspci's own output between its marks.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <poll.h>
#include <dirent.h>
#include <arpa/inet.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/module.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices/"
static char device[64];

static int Text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  const ssize_t done = write(fd, text, strlen(text));
  close(fd);
  return done < 0 ? -1 : 0;
}

static void Load(const char* path) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return;
  if (syscall(SYS_finit_module, fd, "", MODULE_INIT_COMPRESSED_FILE) != 0) perror(path);
  close(fd);
}

static void Run(char* const* argv) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(1);
  }
  waitpid(pid, NULL, 0);
}

// The device with these ids: its folder in sysfs goes to `device`.
static int Find(const char* wanted) {
  DIR* all = opendir(DEVICES);
  for (struct dirent* each; all && (each = readdir(all));) {
    char path[300], ids[16] = "";
    uint16_t config[2];
    if (each->d_name[0] == '.') continue;
    snprintf(path, sizeof path, DEVICES "%s/config", each->d_name);
    const int fd = open(path, O_RDONLY);
    const ssize_t got = read(fd, config, sizeof config);
    close(fd);
    if (got != (ssize_t)sizeof config) continue;
    snprintf(ids, sizeof ids, "%04x:%04x", config[0], config[1]);
    if (strcmp(ids, wanted) == 0) {
      snprintf(device, sizeof device, "%.40s", each->d_name);
      closedir(all);
      return 0;
    }
  }
  return -1;
}

static uint64_t Physical(void* va) {
  uint64_t entry = 0;
  const int fd = open("/proc/self/pagemap", O_RDONLY);
  if (pread(fd, &entry, 8, (off_t)((uintptr_t)va / 4096 * 8)) != 8) entry = 0;
  close(fd);
  return (entry & ((1ULL << 55) - 1)) * 4096;
}

static void Config16(int at, uint16_t set, uint16_t clear) {
  char path[300];
  uint16_t value = 0;
  snprintf(path, sizeof path, DEVICES "%s/config", device);
  const int fd = open(path, O_RDWR);
  if (pread(fd, &value, 2, at) == 2) value = (value | set) & ~clear;
  if (pwrite(fd, &value, 2, at) != 2) perror("config");
  close(fd);
}

// DMA through the device's buffer, from one page of ours to another.
static void Copy(volatile uint8_t* bar, uint8_t* from, uint8_t* to, size_t length) {
  volatile uint64_t* dma = (volatile uint64_t*)(bar + 0x80);
  dma[0] = Physical(from), dma[1] = 0x40000, dma[2] = length, dma[3] = 1;
  while (dma[3] & 1) continue;
  dma[0] = 0x40000, dma[1] = Physical(to), dma[2] = length, dma[3] = 3;
  while (dma[3] & 1) continue;
}

static void Engine(void) {
  char path[300];
  snprintf(path, sizeof path, DEVICES "%s/enable", device);
  Text(path, "1");
  Config16(4, 6, 0);
  snprintf(path, sizeof path, DEVICES "%s/resource0", device);
  const int fd = open(path, O_RDWR);
  volatile uint8_t* bar = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (bar == MAP_FAILED) return perror("resource0");
  volatile uint32_t* registers = (volatile uint32_t*)bar;
  printf("identification: %08x\n", registers[0]);
  registers[1] = 0x12345678;
  printf("liveness: %08x\n", registers[1]);
  registers[2] = 10;
  printf("factorial: %u\n", registers[2]);

  uint8_t* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  mlock(pages, 8192);
  for (int i = 0; i < 4096; i++) pages[i] = (uint8_t)(i * 7 + 3);
  memset(pages + 4096, 0, 4096);
  Copy(bar, pages, pages + 4096, 4096);
  printf("dma: %s\n", memcmp(pages, pages + 4096, 4096) == 0 ? "same" : "different");

  // Interrupts as a user-space driver has them.
  Text("/sys/bus/pci/drivers/uio_pci_generic/new_id", "1234 11e8");
  const int uio = open("/dev/uio0", O_RDWR);
  if (uio < 0) return perror("uio0");
  uint32_t count = 0;
  for (int i = 1; i <= 3; i++) {
    registers[0x60 / 4] = (uint32_t)i;
    struct pollfd ready = {uio, POLLIN, 0};
    if (poll(&ready, 1, 5000) != 1 || read(uio, &count, 4) != 4) break;
    printf("interrupt: %u status %x\n", count, registers[0x24 / 4]);
    registers[0x64 / 4] = registers[0x24 / 4];
    // The kernel's handler has disabled INTx.
    Config16(4, 0, 0x400);
  }
}

static uint8_t* Aligned(size_t length) {
  return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
}

// Reads and writes past the page cache, in sizes from a block to more than the controller takes at once.
static void Disk(void) {
  int fd = -1;
  for (int i = 0; i < 100 && (fd = open("/dev/nvme0n1", O_RDWR | O_DIRECT)) < 0; i++) usleep(100000);
  if (fd < 0) return perror("nvme0n1");
  uint64_t bytes = 0;
  ioctl(fd, BLKGETSIZE64, &bytes);
  printf("disk: %llu\n", (unsigned long long)bytes);
  const size_t sizes[] = {512, 4096, 8192, 12288, 65536, 131072, 1 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t *out = Aligned(sizes[i]), *in = Aligned(sizes[i]);
    for (size_t k = 0; k < sizes[i]; k++) out[k] = (uint8_t)(k * 13 + i + (k >> 9));
    const off_t at = (off_t)(i << 21);
    const int same = pwrite(fd, out, sizes[i], at) == (ssize_t)sizes[i] && fsync(fd) == 0 &&
                     pread(fd, in, sizes[i], at) == (ssize_t)sizes[i] && memcmp(in, out, sizes[i]) == 0;
    printf("io: %zu %s\n", sizes[i], same ? "same" : "different");
  }
  uint8_t* last = Aligned(4096);
  printf("last: %d\n", pread(fd, last, 4096, (off_t)bytes - 4096) == 4096 && last[0] == 0);
  uint64_t range[2] = {6 << 21, 1 << 20};
  uint8_t* gone = Aligned(4096);
  const int trimmed = ioctl(fd, BLKDISCARD, range) == 0 && pread(fd, gone, 4096, 6 << 21) == 4096;
  printf("discard: %s\n", trimmed && gone[1] == 0 && gone[4095] == 0 ? "zero" : "not zero");
  close(fd);
}

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

// Frames to everyone, and what comes back from who sends them back.
static void Network(void) {
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
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t out[1514], in[2048];
    memset(out, 0xff, 6), memcpy(out + 6, mac, 6), out[12] = 0x88, out[13] = 0xb5;
    for (size_t k = 14; k < sizes[i]; k++) out[k] = (uint8_t)(k * 7 + i);
    send(fd, out, sizes[i], 0);
    const ssize_t got = Answer(fd, in, sizeof in);
    const int same = got == (ssize_t)sizes[i] && memcmp(in, mac, 6) == 0 && memcmp(in + 12, out + 12, sizes[i] - 12) == 0;
    printf("frame: %zu %s\n", sizes[i], same ? "same" : got < 0 ? "lost" : "different");
  }
  Segments(index, mac, 20000);
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

int main(void) {
  mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  const int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
  setvbuf(stdout, NULL, _IOLBF, 0);
  puts("guest: up");
  printf("iommu: %s\n", access("/sys/class/iommu/dmar0", F_OK) == 0 ? "yes" : "no");
  char wanted[10] = "";
  const int named = open("/wanted", O_RDONLY);
  if (read(named, wanted, 9) == 9 && Find(wanted) == 0) {
    puts("lspci: begin");
    Run((char*[]){"/usr/bin/lspci", "-s", device, "-nnvvxxxx", NULL});
    puts("lspci: end");
    FILE* modules = fopen("/modules/order", "r");
    for (char path[128]; modules && fgets(path, sizeof path, modules);) {
      path[strcspn(path, "\n")] = 0;
      Load(path);
    }
    if (strcmp(wanted, "1234:11e8") == 0) Engine();
    if (strcmp(wanted, "1b36:0010") == 0) Disk();
    if (strcmp(wanted, "8086:10d3") == 0) Network();
  } else
    puts("guest: no device");
  puts("guest: done");
  sync();
  sleep(1);
  reboot(RB_POWER_OFF);
  return 0;
}
