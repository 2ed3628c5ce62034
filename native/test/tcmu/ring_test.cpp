// The ring against the kernel's side of it, and against memory that no kernel would share.
#include "tcmu/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "test/tcmu/fake_kernel.h"

namespace varve::test {

using scsi::Outcome;
using tcmu::Ring;
using tcmu::RingCommand;

class TcmuRingTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kData = FakeKernel::kDataOffset;

  void expect_refused() { EXPECT_THROW(Ring(kernel_.memory()), tcmu::RingError); }
  // A command whose parts are not as they should be is told, and answered like any other.
  void expect_unsound() {
    Ring ring(kernel_.memory());
    RingCommand command;
    ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
    EXPECT_FALSE(command.is_sound);
    ring.complete(command.id, Outcome::failed(scsi::kInternalFailure));
    const auto answer = kernel_.take_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->id, 5);
    EXPECT_EQ(answer->key, 0x04);
    EXPECT_TRUE(ring.is_idle());
  }
  void expect_broken() {
    Ring ring(kernel_.memory());
    RingCommand command;
    EXPECT_EQ(ring.take(command), Ring::Taken::kBroken);
    EXPECT_EQ(ring.take(command), Ring::Taken::kBroken);
    EXPECT_FALSE(ring.has_more());
  }

  FakeKernel kernel_;
};

TEST_F(TcmuRingTest, TakesACommandWithItsData) {
  Ring ring(kernel_.memory());
  RingCommand command;
  EXPECT_EQ(ring.take(command), Ring::Taken::kNothing);
  EXPECT_TRUE(ring.is_idle());
  kernel_.memory()[kData + 600] = std::byte{42};
  kernel_.add_command(5, {0x28, 1, 2, 3, 4, 5, 6, 7, 8, 9},
                      {{kData + 512, 512}, {kData + 4096, 100}});
  EXPECT_TRUE(ring.has_more());
  ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  EXPECT_TRUE(command.is_sound);
  EXPECT_EQ(command.id, 5);
  ASSERT_EQ(command.command().size(), 10U);
  EXPECT_EQ(command.command()[9], std::byte{9});
  EXPECT_EQ(command.data.size(), 612U);
  std::vector<std::byte> bytes(612);
  EXPECT_TRUE(command.data.get(bytes, 0));
  EXPECT_EQ(bytes[88], std::byte{42});
  EXPECT_FALSE(ring.has_more());
  EXPECT_FALSE(ring.is_idle());
  ring.complete(5, Outcome::good(612));
  EXPECT_TRUE(ring.is_idle());
  EXPECT_EQ(kernel_.tail(), kernel_.head());
  const auto answer = kernel_.take_answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->id, 5);
  EXPECT_EQ(answer->status, 0);
  EXPECT_EQ(answer->flags, tcmu::kHasReadLength);
  EXPECT_EQ(answer->read_length, 612U);
}

TEST_F(TcmuRingTest, LengthIsToldToWhoTakesItAlone) {
  kernel_.put<std::uint16_t>(tcmu::kMailboxFlagsAt, tcmu::kAnswersInAnyOrder);
  Ring ring(kernel_.memory());
  RingCommand command;
  kernel_.add_command(5, {0x12});
  ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  ring.complete(5, Outcome::good(36));
  EXPECT_EQ(kernel_.take_answer()->flags, 0);
}

TEST_F(TcmuRingTest, AnswersInAnyOrder) {
  Ring ring(kernel_.memory());
  std::vector<RingCommand> commands(3);
  for (std::uint16_t id = 0; id < 3; ++id) kernel_.add_command(id, {0x00});
  for (RingCommand& command : commands) ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  ring.complete(2, Outcome::good());
  ring.complete(0, Outcome::failed(scsi::kNoSpace));
  ring.complete(1, Outcome::busy());
  EXPECT_EQ(kernel_.take_answer()->id, 2);
  const auto failed = kernel_.take_answer();
  EXPECT_EQ(failed->id, 0);
  EXPECT_EQ(failed->status, 0x02);
  EXPECT_EQ(failed->key, 0x07);
  EXPECT_EQ(failed->code, 0x2707);
  const auto busy = kernel_.take_answer();
  EXPECT_EQ(busy->id, 1);
  EXPECT_EQ(busy->status, 0x08);
  EXPECT_FALSE(kernel_.take_answer());
}

// Rounds and rounds of the ring, with padding at its end, answers by chance.
TEST_F(TcmuRingTest, LosesNoCommandOverManyRounds) {
  Ring ring(kernel_.memory());
  std::mt19937 random(3);
  std::vector<std::uint16_t> pending;
  std::vector<bool> is_known(500);
  std::uint16_t next_id = 0;
  std::size_t answered = 0;
  std::size_t in_ring = 0;
  while (answered < is_known.size()) {
    if (next_id < is_known.size() && in_ring < 4 && random() % 2 == 0) {
      kernel_.add_command(next_id++, {0x00}, {{kData, 8 + random() % 100}, {kData + 512, 512}});
      ++in_ring;
    }
    RingCommand command;
    if (random() % 2 == 0 && ring.take(command) == Ring::Taken::kCommand) {
      EXPECT_TRUE(command.is_sound);
      pending.push_back(command.id);
    }
    if (random() % 2 == 0 && !pending.empty()) {
      std::swap(pending.back(), pending[random() % pending.size()]);
      ring.complete(pending.back(), Outcome::good());
      pending.pop_back();
    }
    while (const auto answer = kernel_.take_answer()) {
      ASSERT_LT(answer->id, is_known.size());
      EXPECT_FALSE(is_known[answer->id]);
      is_known[answer->id] = true;
      ++answered;
      --in_ring;
    }
  }
  EXPECT_TRUE(ring.is_idle());
}

TEST_F(TcmuRingTest, EntriesOfOtherKindsAreDoneWithAtOnce) {
  Ring ring(kernel_.memory());
  RingCommand command;
  const std::uint32_t management = kernel_.add_entry(tcmu::kTaskManagementEntry, 40);
  EXPECT_EQ(ring.take(command), Ring::Taken::kNothing);
  EXPECT_EQ(kernel_.tail(), kernel_.head());
  EXPECT_EQ(kernel_.memory()[kernel_.entry_at(management) + tcmu::kEntryFlagsAt],
            std::byte{tcmu::kUnknownEntry});
  // Behind a command it is done with along with that.
  kernel_.add_command(1, {0x00});
  kernel_.add_entry(tcmu::kPadEntry, 8);
  ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  EXPECT_EQ(ring.take(command), Ring::Taken::kNothing);
  EXPECT_FALSE(ring.is_idle());
  ring.complete(1, Outcome::good());
  EXPECT_EQ(kernel_.tail(), kernel_.head());
  EXPECT_TRUE(ring.is_idle());
}

TEST_F(TcmuRingTest, GoesOnWhereTheOneBeforeStopped) {
  kernel_.add_command(1, {0x00});
  {
    Ring ring(kernel_.memory());
    RingCommand command;
    ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
    ring.complete(1, Outcome::good());
  }
  kernel_.add_command(2, {0x00});
  Ring ring(kernel_.memory());
  RingCommand command;
  ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  EXPECT_EQ(command.id, 2);
}

TEST_F(TcmuRingTest, RefusesMemoryThatIsNoRing) {
  EXPECT_THROW(Ring(kernel_.memory().first(60)), tcmu::RingError);
  const auto with = [this](std::size_t at, auto number) {
    kernel_ = FakeKernel();
    kernel_.put(at, number);
    expect_refused();
  };
  with(tcmu::kMailboxVersionAt, std::uint16_t{3});
  with(tcmu::kMailboxFlagsAt, std::uint16_t{0});
  with(tcmu::kEntriesOffsetAt, std::uint32_t{12});
  with(tcmu::kEntriesOffsetAt, std::uint32_t{129});
  with(tcmu::kEntriesOffsetAt, ~std::uint32_t{7});
  with(tcmu::kEntriesSizeAt, std::uint32_t{0});
  with(tcmu::kEntriesSizeAt, FakeKernel::kMemoryBytes);
  with(tcmu::kEntriesSizeAt, FakeKernel::kEntriesBytes + 1);
  with(tcmu::kTailAt, FakeKernel::kEntriesBytes);
  with(tcmu::kTailAt, std::uint32_t{4});
}

TEST_F(TcmuRingTest, StopsAtEntriesThatHaveNoEnd) {
  const auto with = [this](std::uint32_t length_and_kind, std::uint32_t head) {
    kernel_ = FakeKernel();
    kernel_.put<std::uint32_t>(FakeKernel::kEntriesOffset, length_and_kind);
    kernel_.put<std::uint32_t>(tcmu::kHeadAt, head);
    expect_broken();
  };
  with(0, 128);                                                // no length
  with(tcmu::kCommandEntry | 104, 104);                        // no room for an answer
  with(tcmu::kCommandEntry | 128, 64);                         // past the newest entry
  with(tcmu::kPadEntry | 2048, 512);                           // past the end
  with(tcmu::kPadEntry | 16, 8);                               // jumps over the head
  with(tcmu::kCommandEntry | 128, FakeKernel::kEntriesBytes);  // the head is nowhere
  with(tcmu::kCommandEntry | 128, ~std::uint32_t{0});
  // Entries that jump over the head at the end of a round would go on for ever.
  kernel_ = FakeKernel();
  for (std::uint32_t at = 0; at < FakeKernel::kEntriesBytes; at += 16) {
    kernel_.put<std::uint32_t>(FakeKernel::kEntriesOffset + at, 16);
  }
  kernel_.put<std::uint32_t>(tcmu::kHeadAt, 24);
  expect_broken();
}

TEST_F(TcmuRingTest, CommandsWithPartsElsewhereAreAnswered) {
  const auto with = [this](FakeKernel::Pieces pieces, auto change) {
    kernel_ = FakeKernel();
    change(kernel_.entry_at(kernel_.add_command(5, {0x28}, pieces)));
    expect_unsound();
  };
  const auto nothing = [](std::size_t) {};
  with({{kData, FakeKernel::kMemoryBytes}}, nothing);
  with({{0, 512}}, nothing);                             // the mailbox
  with({{FakeKernel::kEntriesOffset, 512}}, nothing);    // the entries
  with({{~std::uint64_t{0}, 512}}, nothing);
  with({{kData, ~std::uint64_t{0}}}, nothing);
  with({{kData, 512}}, [this](std::size_t at) {
    kernel_.put<std::uint32_t>(at + tcmu::kPieceCountAt, 0x1000'0000U);
  });
  with({{kData, 512}}, [this](std::size_t at) {
    kernel_.put<std::uint32_t>(at + tcmu::kSecondPieceCountAt, 1U);
  });
  with({}, [this](std::size_t at) {
    kernel_.put<std::uint64_t>(at + tcmu::kCommandOffsetAt, ~std::uint64_t{0});
  });
  with({}, [this](std::size_t at) {
    kernel_.put<std::uint64_t>(at + tcmu::kCommandOffsetAt,
                               std::uint64_t{FakeKernel::kMemoryBytes});
  });
}

TEST_F(TcmuRingTest, CommandAtTheEndOfTheMemoryIsCutThere) {
  const std::size_t at = kernel_.entry_at(kernel_.add_command(5, {}));
  kernel_.put<std::uint64_t>(at + tcmu::kCommandOffsetAt,
                             std::uint64_t{FakeKernel::kMemoryBytes - 4});
  kernel_.put<std::uint32_t>(FakeKernel::kMemoryBytes - 4, 0x28);
  Ring ring(kernel_.memory());
  RingCommand command;
  ASSERT_EQ(ring.take(command), Ring::Taken::kCommand);
  EXPECT_TRUE(command.is_sound);
  EXPECT_EQ(command.command().size(), 4U);
}

}  // namespace varve::test
