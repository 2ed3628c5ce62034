// Commands as bytes: what each does to the content and how it ends, also those that no kernel would
// send.
#include "scsi/disk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "scsi/big_endian.h"
#include "test/transport/memory_device.h"

namespace varve::test {

using scsi::Outcome;
using scsi::Sense;

class ScsiDiskTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kBlock = scsi::kBlockBytes;
  static constexpr std::uint64_t kBlocks = 4096;

  using Bytes = std::vector<std::byte>;

  static Bytes bytes_of(std::initializer_list<unsigned> values) {
    Bytes bytes;
    for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
    return bytes;
  }
  static Bytes filled(std::size_t size, unsigned value) {
    return Bytes(size, static_cast<std::byte>(value));
  }

  // A command of 10 or 16 bytes about blocks.
  static Bytes command10(unsigned operation, std::uint32_t first, std::uint16_t count,
                         unsigned flags = 0) {
    Bytes bytes = bytes_of({operation, flags, 0, 0, 0, 0, 0, 0, 0, 0});
    scsi::store(&bytes[2], first);
    scsi::store(&bytes[7], count);
    return bytes;
  }
  static Bytes command16(unsigned operation, std::uint64_t first, std::uint32_t count,
                         unsigned flags = 0) {
    Bytes bytes(16);
    bytes[0] = static_cast<std::byte>(operation);
    bytes[1] = static_cast<std::byte>(flags);
    scsi::store(&bytes[2], first);
    scsi::store(&bytes[10], count);
    return bytes;
  }

  // `data` is what goes to the disk, and afterwards what came from it.
  Outcome run(const Bytes& command, Bytes& data) {
    scsi::DataArea area;
    // In pieces, of which the second and third are neighbours.
    const std::size_t part = data.size() / 3;
    area.add(std::span(data).first(part));
    area.add(std::span(data).subspan(part, part));
    area.add(std::span(data).subspan(2 * part));
    return disk_->execute(command, area, buffer_);
  }
  Outcome run(const Bytes& command) {
    Bytes none;
    return run(command, none);
  }

  static void expect_good(const Outcome& outcome) {
    EXPECT_EQ(outcome.status, Outcome::Status::kGood)
        << "key " << int{outcome.sense.key} << ", code " << outcome.sense.code;
  }
  static void expect_failed(const Outcome& outcome, Sense sense) {
    EXPECT_EQ(outcome.status, Outcome::Status::kCheckCondition);
    EXPECT_EQ(outcome.sense.key, sense.key);
    EXPECT_EQ(outcome.sense.code, sense.code);
    EXPECT_EQ(outcome.data_bytes, 0U);
  }

  void make(bool is_read_only = false) {
    disk_ = std::make_unique<scsi::Disk>(
        content_, scsi::Identity{.serial = "user_5-one", .is_read_only = is_read_only});
  }

  std::shared_ptr<MemoryDevice> content_ = std::make_shared<MemoryDevice>(kBlocks * kBlock);
  std::unique_ptr<scsi::Disk> disk_ = std::make_unique<scsi::Disk>(
      content_, scsi::Identity{.serial = "user_5-one", .is_read_only = false});
  Bytes buffer_ = Bytes(64 << 10);
};

TEST_F(ScsiDiskTest, KnowsTheLengthOfEveryCommand) {
  const auto length = [](std::initializer_list<unsigned> bytes) {
    return scsi::command_length(bytes_of(bytes));
  };
  EXPECT_EQ(length({0x12}), 6U);
  EXPECT_EQ(length({0x28}), 10U);
  EXPECT_EQ(length({0x5a}), 10U);
  EXPECT_EQ(length({0x88}), 16U);
  EXPECT_EQ(length({0xa0}), 12U);
  EXPECT_EQ(length({0x7f, 0, 0, 0, 0, 0, 0, 0x18}), 32U);
  EXPECT_EQ(length({0x7f}), 16U);
  EXPECT_EQ(length({0x60}), 16U);
  EXPECT_EQ(length({0xc0}), 16U);
  EXPECT_EQ(length({}), 0U);
}

TEST_F(ScsiDiskTest, ReadsAndWritesInEveryForm) {
  const std::vector<std::pair<Bytes, Bytes>> forms = {
      {bytes_of({0x0a, 0, 0, 100, 2, 0}), bytes_of({0x08, 0, 0, 100, 2, 0})},
      {command10(0x2a, 200, 2), command10(0x28, 200, 2)},
      {bytes_of({0xaa, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0}),
       bytes_of({0xa8, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0})},
      {command16(0x8a, kBlocks - 2, 2), command16(0x88, kBlocks - 2, 2)}};
  unsigned value = 1;
  for (const auto& [write, read] : forms) {
    Bytes data = filled(2 * kBlock, value);
    expect_good(run(write, data));
    Bytes found(2 * kBlock);
    const Outcome outcome = run(read, found);
    expect_good(outcome);
    EXPECT_EQ(outcome.data_bytes, found.size());
    EXPECT_EQ(found, filled(2 * kBlock, value));
    ++value;
  }
  EXPECT_EQ(content_->content()[100 * kBlock], std::byte{1});
  EXPECT_EQ(content_->content()[200 * kBlock], std::byte{2});
  EXPECT_EQ(content_->content()[256 * kBlock], std::byte{3});
  EXPECT_EQ(content_->content().back(), std::byte{4});
  EXPECT_EQ(content_->flush_count, 0U);
}

TEST_F(ScsiDiskTest, ShortFormOfNoBlocksMeans256) {
  Bytes data = filled(256 * kBlock, 7);
  expect_good(run(bytes_of({0x0a, 0, 0, 0, 0, 0}), data));
  EXPECT_EQ(content_->content()[256 * kBlock - 1], std::byte{7});
  EXPECT_EQ(content_->content()[256 * kBlock], std::byte{0});
}

TEST_F(ScsiDiskTest, MovesMoreThanItsBufferHolds) {
  Bytes data(kBlocks * kBlock);
  std::mt19937 random(1);
  for (std::byte& one : data) one = static_cast<std::byte>(random());
  const Bytes wanted = data;
  expect_good(run(command16(0x8a, 0, kBlocks), data));
  Bytes found(data.size());
  expect_good(run(command16(0x88, 0, kBlocks), found));
  EXPECT_EQ(found, wanted);
  expect_good(run(command16(0x8f, 0, kBlocks)));
}

TEST_F(ScsiDiskTest, RefusesBlocksThatItDoesNotHave) {
  Bytes data(2 * kBlock);
  for (const unsigned operation : {0x88U, 0x8aU, 0x8fU, 0x91U}) {
    expect_failed(run(command16(operation, kBlocks - 1, 2), data), scsi::kOutOfRange);
    expect_failed(run(command16(operation, kBlocks + 1, 0), data), scsi::kOutOfRange);
    expect_failed(run(command16(operation, ~std::uint64_t{0}, 2), data), scsi::kOutOfRange);
    expect_good(run(command16(operation, kBlocks, 0), data));
  }
  expect_failed(run(command16(0x93, kBlocks - 1, 2), data), scsi::kOutOfRange);
  EXPECT_EQ(content_->write_count, 0U);
}

TEST_F(ScsiDiskTest, GivesAnInitiatorWithLessRoomLess) {
  Bytes content = filled(8 * kBlock, 9);
  content_->fill(content);
  Bytes little(kBlock + 1);
  EXPECT_EQ(run(command10(0x28, 0, 8), little).data_bytes, kBlock + 1);
  EXPECT_EQ(little, filled(kBlock + 1, 9));
  // What it has room for beyond the blocks holds nothing of what was there before.
  Bytes much = filled(3 * kBlock, 1);
  EXPECT_EQ(run(command10(0x28, 0, 2), much).data_bytes, 2 * kBlock);
  EXPECT_EQ(much.back(), std::byte{0});
  // Data that are missing cannot be written.
  expect_failed(run(command10(0x2a, 0, 8), little), scsi::kInvalidField);
  EXPECT_EQ(content_->write_count, 0U);
}

TEST_F(ScsiDiskTest, FlushesWhatMustBeDurable) {
  Bytes data(kBlock);
  expect_good(run(command10(0x2a, 0, 1, 0x08), data));
  EXPECT_EQ(content_->flush_count, 1U);
  expect_good(run(command16(0x8a, 0, 1, 0x08), data));
  EXPECT_EQ(content_->flush_count, 2U);
  expect_good(run(command10(0x35, 0, 0)));
  expect_good(run(command16(0x91, 5, 10)));
  EXPECT_EQ(content_->flush_count, 4U);
}

TEST_F(ScsiDiskTest, TellsErrorsByTheirSense) {
  Bytes data(kBlock);
  content_->break_range(0, kBlock, -EIO);
  expect_failed(run(command10(0x28, 0, 1), data), scsi::kReadError);
  expect_failed(run(command10(0x2a, 0, 1), data), scsi::kWriteError);
  content_->break_range(0, kBlock, -ENOSPC);
  expect_failed(run(command10(0x2a, 0, 1), data), scsi::kNoSpace);
  content_->break_range(0, kBlock, -EROFS);
  expect_failed(run(command10(0x2a, 0, 1), data), scsi::kWriteProtected);
  expect_failed(run(command16(0x8f, 0, 1)), scsi::kReadError);
}

TEST_F(ScsiDiskTest, UnmapsEveryRangeOrNone) {
  content_->fill(filled(kBlocks * kBlock, 3));
  Bytes list(8 + 2 * 16);
  scsi::store<std::uint16_t>(&list[0], static_cast<std::uint16_t>(list.size() - 2));
  scsi::store<std::uint16_t>(&list[2], 32);
  const auto describe = [&](std::size_t at, std::uint64_t first, std::uint32_t count) {
    scsi::store(&list[8 + at * 16], first);
    scsi::store(&list[16 + at * 16], count);
  };
  describe(0, 8, 8);
  describe(1, kBlocks - 1, 1);
  const Bytes command = command10(0x42, 0, static_cast<std::uint16_t>(list.size()));
  Bytes given = list;
  expect_good(run(command, given));
  EXPECT_EQ(content_->discarded_bytes, 9 * kBlock);
  EXPECT_EQ(content_->content()[8 * kBlock], std::byte{0});
  EXPECT_EQ(content_->content()[16 * kBlock], std::byte{3});
  EXPECT_EQ(content_->content().back(), std::byte{0});

  describe(1, kBlocks, 1);
  given = list;
  expect_failed(run(command, given), scsi::kOutOfRange);
  EXPECT_EQ(content_->discarded_bytes, 9 * kBlock);
  // A list that is longer than what was sent, and one that says so of itself.
  given.resize(20);
  expect_failed(run(command, given), scsi::kParameterListLength);
  scsi::store<std::uint16_t>(&list[2], 48);
  expect_failed(run(command, list), scsi::kParameterListLength);
  expect_failed(run(command10(0x42, 0, 4), list), scsi::kParameterListLength);
  expect_failed(run(command10(0x42, 0, 8, 0x01), list), scsi::kInvalidField);
  expect_good(run(command10(0x42, 0, 0)));
  Bytes many(8 + 16 * 300);
  scsi::store<std::uint16_t>(&many[2], 16 * 300);
  expect_failed(run(command10(0x42, 0, static_cast<std::uint16_t>(many.size())), many),
                scsi::kInvalidParameter);
}

TEST_F(ScsiDiskTest, WritesTheSameBlock) {
  content_->fill(filled(kBlocks * kBlock, 3));
  Bytes zeros(kBlock);
  expect_good(run(command16(0x93, 0, 8, 0x08), zeros));
  EXPECT_EQ(content_->discarded_bytes, 8 * kBlock);
  expect_good(run(command10(0x41, 8, 8), zeros));
  EXPECT_EQ(content_->zeroed_bytes, 8 * kBlock);
  expect_good(run(command16(0x93, 16, 8, 0x01)));
  EXPECT_EQ(content_->zeroed_bytes, 16 * kBlock);
  Bytes pattern(kBlock);
  pattern[1] = std::byte{5};
  // More than the buffer holds; a pattern is written also where blocks may be unmapped.
  expect_good(run(command16(0x93, 24, 300, 0x08), pattern));
  EXPECT_EQ(content_->content()[24 * kBlock + 1], std::byte{5});
  EXPECT_EQ(content_->content()[323 * kBlock], std::byte{0});
  EXPECT_EQ(content_->content()[323 * kBlock + 1], std::byte{5});
  EXPECT_EQ(content_->content()[324 * kBlock + 1], std::byte{3});
  expect_failed(run(command16(0x93, 0, 0), zeros), scsi::kInvalidField);
  expect_failed(run(command16(0x93, 0, 8, 0x10), zeros), scsi::kInvalidField);
  Bytes little(10);
  expect_failed(run(command16(0x93, 0, 8), little), scsi::kInvalidField);
}

TEST_F(ScsiDiskTest, SaysHowLargeItIs) {
  Bytes data(32);
  expect_good(run(bytes_of({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}), data));
  EXPECT_EQ(scsi::load<std::uint64_t>(data.data()), kBlocks - 1);
  EXPECT_EQ(scsi::load<std::uint32_t>(&data[8]), kBlock);
  EXPECT_EQ(data[14], std::byte{0xc0});
  EXPECT_EQ(run(bytes_of({0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}), data).data_bytes, 8U);
  EXPECT_EQ(scsi::load<std::uint32_t>(data.data()), kBlocks - 1);
  expect_failed(run(bytes_of({0x9e, 0x12}), data), scsi::kInvalidField);
}

TEST_F(ScsiDiskTest, TellsOnceThatItsSizeHasChanged) {
  disk_->tell_of_size();
  Bytes data(36);
  expect_good(run(bytes_of({0x12, 0, 0, 0, 36, 0}), data));
  expect_failed(run(bytes_of({0x00, 0, 0, 0, 0, 0})), scsi::kCapacityChanged);
  expect_good(run(bytes_of({0x00, 0, 0, 0, 0, 0})));
}

TEST_F(ScsiDiskTest, SaysWhoItIs) {
  Bytes data = filled(96, 0xff);
  EXPECT_EQ(run(bytes_of({0x12, 0, 0, 0, 96, 0}), data).data_bytes, 36U);
  const std::string text(reinterpret_cast<const char*>(data.data()), 36);
  EXPECT_EQ(text.substr(8), "LIO-ORG TCMU device     0002");
  EXPECT_EQ(data[36], std::byte{0});
  Bytes short_answer(96);
  EXPECT_EQ(run(bytes_of({0x12, 0, 0, 0, 5, 0}), short_answer).data_bytes, 5U);
  expect_failed(run(bytes_of({0x12, 0, 0x80, 0, 96, 0}), data), scsi::kInvalidField);

  const auto page = [&](unsigned number) {
    Bytes content(255);
    const Outcome outcome = run(bytes_of({0x12, 1, number, 0, 255, 0}), content);
    expect_good(outcome);
    content.resize(outcome.data_bytes);
    EXPECT_EQ(content[1], static_cast<std::byte>(number));
    EXPECT_EQ(scsi::load<std::uint16_t>(&content[2]), content.size() - 4);
    return content;
  };
  const Bytes list = page(0);
  for (const std::byte number : std::span(list).subspan(4)) page(std::to_integer<unsigned>(number));
  const Bytes serial = page(0x80);
  const std::string name(reinterpret_cast<const char*>(&serial[4]), serial.size() - 4);
  EXPECT_EQ(name, "user_5-one");
  const Bytes limits = page(0xb0);
  EXPECT_EQ(limits.size(), 64U);
  EXPECT_EQ(scsi::load<std::uint32_t>(&limits[8]), scsi::kTransferBlocksMax);
  EXPECT_EQ(scsi::load<std::uint32_t>(&limits[20]), scsi::kUnmapBlocksMax);
  EXPECT_EQ(page(0xb2)[5], std::byte{0xe4});
  expect_failed(run(bytes_of({0x12, 1, 0x99, 0, 96, 0}), data), scsi::kInvalidField);
}

TEST_F(ScsiDiskTest, NamesDiffer) {
  const auto name = [](const std::string& serial) {
    return scsi::vital_product_data(0x83, {.serial = serial, .is_read_only = false});
  };
  EXPECT_NE(name("user_5-one"), name("user_5-two"));
  EXPECT_EQ(name("user_5-one"), name("user_5-one"));
  EXPECT_LE(name(std::string(4000, 'x')).size(), 255U + 4);
}

TEST_F(ScsiDiskTest, SaysHowItCachesAndWhetherItIsProtected) {
  Bytes data(64);
  expect_good(run(bytes_of({0x1a, 0, 0x08, 0, 64, 0}), data));
  EXPECT_EQ(data[0], std::byte{23});
  EXPECT_EQ(data[2], std::byte{0x10});
  EXPECT_EQ(data[4], std::byte{0x08});
  EXPECT_EQ(data[6], std::byte{0x04});  // writes are cached
  expect_good(run(bytes_of({0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 64, 0}), data));
  EXPECT_EQ(scsi::load<std::uint16_t>(data.data()), 6 + 12 + 20 + 12);
  // Nothing can be changed.
  expect_good(run(bytes_of({0x1a, 0, 0x48, 0, 64, 0}), data));
  EXPECT_EQ(data[6], std::byte{0});
  expect_failed(run(bytes_of({0x1a, 0, 0xc8, 0, 64, 0}), data), scsi::kSavingNotSupported);
  expect_failed(run(bytes_of({0x1a, 0, 0x1c, 0, 64, 0}), data), scsi::kInvalidField);
  make(true);
  expect_good(run(bytes_of({0x1a, 0, 0x3f, 0, 64, 0}), data));
  EXPECT_EQ(data[2], std::byte{0x80});
}

TEST_F(ScsiDiskTest, SelectsWhatIsAsItIs) {
  Bytes sensed(24);
  expect_good(run(bytes_of({0x1a, 0, 0x08, 0, 24, 0}), sensed));
  sensed[0] = std::byte{0};
  expect_good(run(bytes_of({0x15, 0x10, 0, 0, 24, 0}), sensed));
  Bytes changed = sensed;
  changed[6] = std::byte{0};
  expect_failed(run(bytes_of({0x15, 0x10, 0, 0, 24, 0}), changed), scsi::kInvalidParameter);
  expect_failed(run(bytes_of({0x15, 0x10, 0, 0, 23, 0}), sensed), scsi::kParameterListLength);
  expect_failed(run(bytes_of({0x15, 0x10, 0, 0, 2, 0}), sensed), scsi::kParameterListLength);
  expect_failed(run(bytes_of({0x15, 0x11, 0, 0, 24, 0}), sensed), scsi::kInvalidField);
  changed = sensed;
  changed[3] = std::byte{8};
  expect_failed(run(bytes_of({0x15, 0x10, 0, 0, 24, 0}), changed), scsi::kInvalidParameter);
}

TEST_F(ScsiDiskTest, ProtectedDiskIsNotWritten) {
  make(true);
  Bytes data(8 * kBlock);
  for (const unsigned operation : {0x2aU, 0x41U, 0x42U}) {
    expect_failed(run(command10(operation, 0, 1), data), scsi::kWriteProtected);
  }
  expect_failed(run(command16(0x93, 0, 1, 0x08), data), scsi::kWriteProtected);
  expect_good(run(command10(0x28, 0, 1), data));
  expect_good(run(command10(0x35, 0, 0)));
  EXPECT_EQ(content_->write_count + content_->flush_count + content_->discarded_bytes, 0U);
}

TEST_F(ScsiDiskTest, WithoutContentItSaysThatSomebodyHasToHelp) {
  content_ = nullptr;
  make();
  Bytes data(kBlock);
  expect_good(run(bytes_of({0x12, 0, 0, 0, 36, 0}), data));
  expect_failed(run(command10(0x28, 0, 1), data), scsi::kManualInterventionRequired);
  expect_failed(run(bytes_of({0x25}), data), scsi::kManualInterventionRequired);
  expect_failed(run(bytes_of({0x00}), data), scsi::kManualInterventionRequired);
  expect_good(run(bytes_of({0x03, 0, 0, 0, 18, 0}), data));
  EXPECT_EQ(data[2], std::byte{0x02});
}

TEST_F(ScsiDiskTest, AnswersWhatElseIsAskedOfDisks) {
  Bytes data(64);
  expect_good(run(bytes_of({0x00})));
  expect_good(run(bytes_of({0x1b, 0, 0, 0, 1, 0})));
  EXPECT_EQ(run(bytes_of({0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}), data).data_bytes, 16U);
  EXPECT_EQ(scsi::load<std::uint32_t>(data.data()), 8U);
  // Reservations, comparing writes, operation codes of makers, and nothing at all.
  for (const unsigned operation : {0x5fU, 0x89U, 0xa3U, 0xc5U, 0xffU, 0x7fU, 0x04U}) {
    expect_failed(run(bytes_of({operation}), data), scsi::kInvalidOperation);
  }
  expect_failed(run(command10(0x28, 0, 1, 0x20), data), scsi::kInvalidField);
}

TEST_F(ScsiDiskTest, AnyBytesAreAnswered) {
  std::mt19937 random(7);
  for (int turn = 0; turn < 20'000; ++turn) {
    Bytes command(random() % 20);
    for (std::byte& one : command) one = static_cast<std::byte>(random());
    Bytes data(random() % 2048);
    const Outcome outcome = run(command, data);
    EXPECT_LE(outcome.data_bytes, data.size());
  }
}

}  // namespace varve::test
