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
#include <linux/fs.h>
#include <linux/module.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices/"
static char device[64];

// Of network.c: what a guest does with a network card.
void Network(void);

static int Text(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  const ssize_t done = write(fd, text, strlen(text));
  close(fd);
  return done < 0 ? -1 : 0;
}

// `parameters` of the module, one behind the other.
static void Load(const char* path, const char* parameters) {
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return;
  if (syscall(SYS_finit_module, fd, parameters, MODULE_INIT_COMPRESSED_FILE) != 0) perror(path);
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

// Blocks of 512 bytes that name themselves and the round in which they were written.
static void Stamp(uint8_t* bytes, size_t length, uint32_t first, uint32_t round) {
  for (size_t i = 0; i < length / 512; i++) {
    const uint32_t head[2] = {first + (uint32_t)i, round};
    memset(bytes + i * 512, (int)((head[0] * 31 + round) & 0xff), 512);
    memcpy(bytes + i * 512, head, sizeof head);
  }
}

// Writes a stretch of the disk and reads it back, round after round, in transfers of several sizes.
static void Work(int rounds) {
  enum { kBytes = 1 << 21 };
  const size_t sizes[] = {4096, 131072, 20480, 8192, 1 << 19};
  uint8_t *out = Aligned(kBytes), *in = Aligned(kBytes);
  int fd = -1;
  for (int i = 0; i < 100 && (fd = open("/dev/nvme0n1", O_RDWR | O_DIRECT)) < 0; i++) usleep(100000);
  for (int round = 1; fd >= 0 && round <= rounds; round++) {
    int good = 1;
    Stamp(out, kBytes, 0, (uint32_t)round);
    size_t each = 0;
    for (size_t at = 0; at < kBytes; at += each) {
      each = sizes[(at / 4096 + (size_t)round) % (sizeof sizes / sizeof *sizes)];
      if (each > kBytes - at) each = kBytes - at;
      if (pwrite(fd, out + at, each, (off_t)at) != (ssize_t)each) good = 0;
    }
    memset(in, 0, kBytes);
    for (size_t at = 0; at < kBytes; at += 65536)
      if (pread(fd, in + at, 65536, (off_t)at) != 65536) good = 0;
    printf("work: %d %s\n", round, good && memcmp(in, out, kBytes) == 0 ? "same" : "different");
  }
  if (fd >= 0) close(fd);
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
      char* parameters = strchr(path, ' ');
      if (parameters) *parameters++ = 0;
      Load(path, parameters ? parameters : "");
    }
    if (strcmp(wanted, "1234:11e8") == 0) Engine();
    char rounds[16] = "";
    const int told = open("/rounds", O_RDONLY);
    const int work = read(told, rounds, sizeof rounds - 1) > 0 ? atoi(rounds) : 0;
    if (strcmp(wanted, "1b36:0010") == 0) work > 0 ? Work(work) : Disk();
    if (strcmp(wanted, "8086:10d3") == 0) Network();
  } else
    puts("guest: no device");
  puts("guest: done");
  sync();
  sleep(1);
  reboot(RB_POWER_OFF);
  return 0;
}
