// Work by several threads, taken in order, and how it ends when a step throws.
#include "tools/work_in_order.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <stdexcept>

namespace varve::test {

using tools::work_in_order;

constexpr int kPieces = 500;

// Numbers from 0 to below `end`.
auto count_to(int end) {
  return [next = 0, end]() mutable -> std::optional<int> {
    return next < end ? std::optional(next++) : std::nullopt;
  };
}

TEST(WorkInOrder, TakesResultsInTheOrderOfThePieces) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::vector<int> taken;
  work_in_order<int>(
      count_to(kPieces),
      [seed](int piece, int& result) {
        std::minstd_rand random(seed + static_cast<unsigned>(piece));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
        result = piece * 3;
      },
      [&taken](int result) { taken.push_back(result); });
  ASSERT_EQ(taken.size(), std::size_t{kPieces});
  int piece = 0;
  for (const int result : taken) ASSERT_EQ(result, piece++ * 3);
}

TEST(WorkInOrder, WorksOnSeveralPiecesAtOnce) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "there is one processor";
  // Each waits for the other, so one thread alone would never end.
  std::atomic<int> arrived = 0;
  work_in_order<int>(
      count_to(2),
      [&arrived](int, int&) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
      },
      [](int) {});
  EXPECT_EQ(arrived, 2);
}

TEST(WorkInOrder, DoesNothingWithoutPieces) {
  work_in_order<int>(
      count_to(0), [](int, int&) { FAIL(); }, [](int) { FAIL(); });
}

TEST(WorkInOrder, IsNeverFarAheadOfWhatIsTaken) {
  const int ahead_max = static_cast<int>(std::thread::hardware_concurrency()) + 1;
  std::atomic<int> worked = 0;
  int taken = 0;
  work_in_order<int>(
      count_to(kPieces), [&worked](int, int&) { ++worked; },
      [&](int) {
        ASSERT_LE(worked, taken + ahead_max);
        ++taken;
      });
  EXPECT_EQ(taken, kPieces);
}

TEST(WorkInOrder, TakesWhatComesBeforeWorkThatFailed) {
  std::vector<int> taken;
  EXPECT_THROW(work_in_order<int>(
                   count_to(kPieces),
                   [](int piece, int& result) {
                     if (piece >= 100) throw std::runtime_error("work");
                     result = piece;
                   },
                   [&taken](int result) { taken.push_back(result); }),
               std::runtime_error);
  ASSERT_EQ(taken.size(), 100U);
  EXPECT_EQ(taken.back(), 99);
}

TEST(WorkInOrder, EndsWhenTheNextPieceOrTakingFails) {
  std::atomic<int> worked = 0;
  int given = 0;
  const auto failing = [&given]() -> std::optional<int> {
    if (given == 100) throw std::runtime_error("next");
    return given++;
  };
  int taken = 0;
  EXPECT_THROW(work_in_order<int>(
                   failing, [&worked](int, int&) { ++worked; }, [&taken](int) { ++taken; }),
               std::runtime_error);
  EXPECT_EQ(worked, 100);
  EXPECT_EQ(taken, 100);
  EXPECT_THROW(work_in_order<int>(
                   count_to(kPieces), [](int, int&) {},
                   [](int) { throw std::runtime_error("taking"); }),
               std::runtime_error);
}

}  // namespace varve::test
