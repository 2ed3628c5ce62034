#include "scsi/disk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "scsi/big_endian.h"

namespace varve::scsi {

namespace {

enum Operation : std::uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kRead6 = 0x08,
  kWrite6 = 0x0a,
  kInquiry = 0x12,
  kModeSelect6 = 0x15,
  kModeSense6 = 0x1a,
  kStartStopUnit = 0x1b,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2a,
  kVerify10 = 0x2f,
  kSynchronizeCache10 = 0x35,
  kWriteSame10 = 0x41,
  kUnmap = 0x42,
  kModeSelect10 = 0x55,
  kModeSense10 = 0x5a,
  kRead16 = 0x88,
  kWrite16 = 0x8a,
  kVerify16 = 0x8f,
  kSynchronizeCache16 = 0x91,
  kWriteSame16 = 0x93,
  kServiceActionIn16 = 0x9e,
  kReportLuns = 0xa0,
  kRead12 = 0xa8,
  kWrite12 = 0xaa,
  kVerify12 = 0xaf,
};

constexpr std::uint8_t kReadCapacity16 = 0x10;  // as a service action
constexpr std::uint64_t kUnknownCapacity = 0xffff'ffff;

Sense sense_of_read(int error) noexcept {
  return error == -ENODEV ? kManualInterventionRequired : kReadError;
}

Sense sense_of_write(int error) noexcept {
  switch (error) {
    case -ENOSPC:
    case -EDQUOT: return kNoSpace;
    case -EROFS: return kWriteProtected;
    case -ENODEV: return kManualInterventionRequired;
    default: return kWriteError;
  }
}

Outcome written(int error) noexcept {
  return error == 0 ? Outcome::good() : Outcome::failed(sense_of_write(error));
}

bool is_zero(std::span<const std::byte> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte one) { return one == std::byte{0}; });
}

}  // namespace

std::size_t command_length(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return 0;
  constexpr std::array<std::size_t, 8> kLengths = {6, 10, 10, 16, 16, 12, 16, 16};
  const auto operation = std::to_integer<std::uint8_t>(bytes[0]);
  constexpr std::uint8_t kVariableLength = 0x7f;
  if (operation != kVariableLength) return kLengths[operation >> 5];
  constexpr std::size_t kAdditionalAt = 7;
  return bytes.size() <= kAdditionalAt ? kLengths[3]
                                       : 8 + std::to_integer<std::size_t>(bytes[kAdditionalAt]);
}

// A command with what it works on.
struct Disk::Call {
  std::span<const std::byte> command;
  DataArea& data;
  std::span<std::byte> buffer;

  [[nodiscard]] std::uint8_t byte(std::size_t at) const noexcept {
    return std::to_integer<std::uint8_t>(command[at]);
  }
  template <typename Number>
  [[nodiscard]] Number number(std::size_t at) const noexcept {
    return load<Number>(&command[at]);
  }
  // Protection information, of which there is none, is not asked for; the shortest commands have no
  // way to.
  [[nodiscard]] bool is_plain() const noexcept {
    return byte(0) == kRead6 || byte(0) == kWrite6 || (byte(1) & 0xe0) == 0;
  }
  [[nodiscard]] bool is_forced() const noexcept { return (byte(1) & 0x08) != 0; }

  [[nodiscard]] Blocks blocks6() const noexcept {
    const std::uint64_t count = byte(4);
    return {.first = number<std::uint32_t>(0) & 0x1f'ffff, .count = count == 0 ? 256 : count};
  }
  [[nodiscard]] Blocks blocks10() const noexcept {
    return {.first = number<std::uint32_t>(2), .count = number<std::uint16_t>(7)};
  }
  [[nodiscard]] Blocks blocks12() const noexcept {
    return {.first = number<std::uint32_t>(2), .count = number<std::uint32_t>(6)};
  }
  [[nodiscard]] Blocks blocks16() const noexcept {
    return {.first = number<std::uint64_t>(2), .count = number<std::uint32_t>(10)};
  }

  // An answer of which the initiator gets as much as it has room for; the rest of the room is zero.
  [[nodiscard]] Outcome answer(std::span<const std::byte> bytes,
                               std::uint64_t room) const noexcept {
    const std::uint64_t count = std::min<std::uint64_t>({bytes.size(), room, data.size()});
    if (!data.put(bytes.first(count), 0) || !data.put_zeros(count)) {
      return Outcome::failed(kInternalFailure);
    }
    return Outcome::good(count);
  }
};

Disk::Disk(std::shared_ptr<transport::BlockDevice> content, Identity identity)
    : content_(std::move(content)), identity_(std::move(identity)) {}

std::uint64_t Disk::block_count() const noexcept { return content_->size() / kBlockBytes; }

bool Disk::is_inside(Blocks blocks) const noexcept {
  const std::uint64_t all = block_count();
  return blocks.first <= all && blocks.count <= all - blocks.first;
}

Outcome Disk::execute(std::span<const std::byte> command, DataArea& data,
                      std::span<std::byte> buffer) noexcept {
  // What a shorter command lacks reads as zeros.
  std::array<std::byte, kCommandBytesMax> whole{};
  const std::size_t length = std::min(command.size(), whole.size());
  std::copy_n(command.begin(), length, whole.begin());
  try {
    return dispatch({.command = whole, .data = data, .buffer = buffer});
  } catch (const std::bad_alloc&) {
    return Outcome::busy();
  }
}

Outcome Disk::dispatch(const Call& call) {
  switch (call.byte(0)) {
    case kInquiry: return inquiry(call);
    case kReportLuns: return report_luns(call);
    case kRequestSense: return request_sense(call);
    default: break;
  }
  if (content_ == nullptr) return Outcome::failed(kManualInterventionRequired);
  if (has_new_size_ && has_new_size_.exchange(false)) return Outcome::failed(kCapacityChanged);
  switch (call.byte(0)) {
    case kTestUnitReady:
    case kStartStopUnit: return Outcome::good();
    case kModeSense6: return mode_sense(call, false);
    case kModeSense10: return mode_sense(call, true);
    case kModeSelect6: return mode_select(call, false);
    case kModeSelect10: return mode_select(call, true);
    case kReadCapacity10: return read_capacity(call, false);
    case kServiceActionIn16:
      if ((call.byte(1) & 0x1f) != kReadCapacity16) return Outcome::failed(kInvalidField);
      return read_capacity(call, true);
    case kRead6: return read(call, call.blocks6());
    case kRead10: return read(call, call.blocks10());
    case kRead12: return read(call, call.blocks12());
    case kRead16: return read(call, call.blocks16());
    case kVerify10: return verify(call, call.blocks10());
    case kVerify12: return verify(call, call.blocks12());
    case kVerify16: return verify(call, call.blocks16());
    case kSynchronizeCache10: return synchronize(call.blocks10());
    case kSynchronizeCache16: return synchronize(call.blocks16());
    default: break;
  }
  std::optional<Blocks> blocks;
  switch (call.byte(0)) {
    case kWrite6: blocks = call.blocks6(); break;
    case kWrite10:
    case kWriteSame10: blocks = call.blocks10(); break;
    case kWrite12: blocks = call.blocks12(); break;
    case kWrite16:
    case kWriteSame16: blocks = call.blocks16(); break;
    case kUnmap: break;
    default: return Outcome::failed(kInvalidOperation);
  }
  if (identity_.is_read_only) return Outcome::failed(kWriteProtected);
  if (!blocks) return unmap(call);
  if (!call.is_plain()) return Outcome::failed(kInvalidField);
  const bool is_same = call.byte(0) == kWriteSame10 || call.byte(0) == kWriteSame16;
  return is_same ? write_same(call, *blocks) : write(call, *blocks);
}

Outcome Disk::inquiry(const Call& call) const {
  const bool is_page = (call.byte(1) & 0x01) != 0;
  if (!is_page && call.byte(2) != 0) return Outcome::failed(kInvalidField);
  const Bytes bytes = is_page ? vital_product_data(call.byte(2), identity_) : standard_inquiry();
  if (bytes.empty()) return Outcome::failed(kInvalidField);
  return call.answer(bytes, call.number<std::uint16_t>(3));
}

Outcome Disk::report_luns(const Call& call) const {
  std::array<std::byte, 16> list{};
  store<std::uint32_t>(list.data(), 8);  // bytes of the list: one unit, of number 0
  return call.answer(list, call.number<std::uint32_t>(6));
}

Outcome Disk::request_sense(const Call& call) const {
  const auto bytes = sense_data(content_ == nullptr ? kManualInterventionRequired : kNoSense);
  constexpr std::size_t kFixedBytes = 18;
  return call.answer(std::span(bytes).first(kFixedBytes), call.byte(4));
}

Outcome Disk::mode_sense(const Call& call, bool is_long) const {
  const auto control = static_cast<PageControl>(call.byte(2) >> 6);
  if (control == PageControl::kSaved) return Outcome::failed(kSavingNotSupported);
  const std::uint8_t subpage = call.byte(3);
  if (subpage != 0 && subpage != 0xff) return Outcome::failed(kInvalidField);
  const Bytes pages = mode_pages(call.byte(2) & 0x3f, control, identity_.is_read_only);
  if (pages.empty()) return Outcome::failed(kInvalidField);
  Bytes answer(is_long ? 8 : 4);
  answer.insert(answer.end(), pages.begin(), pages.end());
  // The length does not count itself.
  if (is_long) {
    store<std::uint16_t>(answer.data(), static_cast<std::uint16_t>(answer.size() - 2));
    answer[3] = mode_parameter(identity_.is_read_only);
  } else {
    answer[0] = static_cast<std::byte>(answer.size() - 1);
    answer[2] = mode_parameter(identity_.is_read_only);
  }
  return call.answer(answer, is_long ? call.number<std::uint16_t>(7) : call.byte(4));
}

// Nothing can be changed, so only what is as it is can be selected.
Outcome Disk::mode_select(const Call& call, bool is_long) const {
  constexpr std::uint8_t kPageFormat = 0x10;
  if ((call.byte(1) & 0x11) != kPageFormat) return Outcome::failed(kInvalidField);
  const std::size_t length = is_long ? call.number<std::uint16_t>(7) : call.byte(4);
  if (length == 0) return Outcome::good();
  const std::size_t header_bytes = is_long ? 8 : 4;
  if (length < header_bytes || length > call.data.size()) {
    return Outcome::failed(kParameterListLength);
  }
  const std::span<std::byte> list = call.buffer.first(std::min(length, call.buffer.size()));
  if (!call.data.get(list, 0)) return Outcome::failed(kInternalFailure);
  const std::size_t descriptor_bytes =
      is_long ? load<std::uint16_t>(&list[6]) : std::to_integer<std::size_t>(list[3]);
  if (descriptor_bytes != 0) return Outcome::failed(kInvalidParameter);
  for (std::span<std::byte> rest = list.subspan(header_bytes); !rest.empty();) {
    const auto number = std::to_integer<std::uint8_t>(rest[0] & std::byte{0x3f});
    if (number == kAllModePages) return Outcome::failed(kInvalidParameter);
    const Bytes page = mode_pages(number, PageControl::kCurrent, identity_.is_read_only);
    if (page.empty()) return Outcome::failed(kInvalidParameter);
    if (rest.size() < page.size()) return Outcome::failed(kParameterListLength);
    const bool is_same = std::equal(page.begin() + 1, page.end(), rest.begin() + 1);
    if (!is_same) return Outcome::failed(kInvalidParameter);
    rest = rest.subspan(page.size());
  }
  return Outcome::good();
}

Outcome Disk::read_capacity(const Call& call, bool is_long) const {
  const std::uint64_t last = block_count() - 1;
  std::array<std::byte, 32> answer{};
  if (!is_long) {
    store(answer.data(), static_cast<std::uint32_t>(std::min(last, kUnknownCapacity)));
    store<std::uint32_t>(&answer[4], kBlockBytes);
    return call.answer(std::span(answer).first(8), call.data.size());
  }
  store(answer.data(), last);
  store<std::uint32_t>(&answer[8], kBlockBytes);
  // Blocks can be unmapped, and are zeros then.
  if (!identity_.is_read_only) answer[14] = std::byte{0xc0};
  return call.answer(answer, call.number<std::uint32_t>(10));
}

Outcome Disk::read(const Call& call, Blocks blocks) const {
  if (!call.is_plain()) return Outcome::failed(kInvalidField);
  if (!is_inside(blocks)) return Outcome::failed(kOutOfRange);
  // An initiator with less room gets less.
  const std::uint64_t length = std::min(blocks.count * kBlockBytes, call.data.size());
  const std::uint64_t offset = blocks.first * kBlockBytes;
  for (std::uint64_t done = 0; done < length;) {
    const std::size_t count = std::min<std::uint64_t>(call.buffer.size(), length - done);
    const std::span<std::byte> part = call.buffer.first(count);
    const int error = content_->read(part, offset + done);
    if (error != 0) return Outcome::failed(sense_of_read(error));
    if (!call.data.put(part, done)) return Outcome::failed(kInternalFailure);
    done += count;
  }
  if (!call.data.put_zeros(length)) return Outcome::failed(kInternalFailure);
  return Outcome::good(length);
}

Outcome Disk::write(const Call& call, Blocks blocks) const {
  if (!is_inside(blocks)) return Outcome::failed(kOutOfRange);
  const std::uint64_t length = blocks.count * kBlockBytes;
  if (call.data.size() < length) return Outcome::failed(kInvalidField);
  const std::uint64_t offset = blocks.first * kBlockBytes;
  for (std::uint64_t done = 0; done < length;) {
    const std::size_t count = std::min<std::uint64_t>(call.buffer.size(), length - done);
    const std::span<std::byte> part = call.buffer.first(count);
    if (!call.data.get(part, done)) return Outcome::failed(kInternalFailure);
    if (const int error = content_->write(part, offset + done); error != 0) return written(error);
    done += count;
  }
  const bool must_be_durable = call.byte(0) != kWrite6 && call.is_forced() && length > 0;
  return must_be_durable ? written(content_->flush()) : Outcome::good();
}

Outcome Disk::verify(const Call& call, Blocks blocks) const {
  // Nothing is compared with what the initiator has.
  if (!call.is_plain() || (call.byte(1) & 0x06) != 0) return Outcome::failed(kInvalidField);
  if (!is_inside(blocks)) return Outcome::failed(kOutOfRange);
  const std::uint64_t length = blocks.count * kBlockBytes;
  for (std::uint64_t done = 0; done < length;) {
    const std::size_t count = std::min<std::uint64_t>(call.buffer.size(), length - done);
    const int error = content_->read(call.buffer.first(count), blocks.first * kBlockBytes + done);
    if (error != 0) return Outcome::failed(sense_of_read(error));
    done += count;
  }
  return Outcome::good();
}

Outcome Disk::synchronize(Blocks blocks) const {
  if (!is_inside(blocks)) return Outcome::failed(kOutOfRange);
  return identity_.is_read_only ? Outcome::good() : written(content_->flush());
}

Outcome Disk::unmap(const Call& call) const {
  constexpr std::size_t kHeaderBytes = 8;
  constexpr std::size_t kDescriptorBytes = 16;
  // Blocks cannot be anchored.
  if ((call.byte(1) & 0x01) != 0) return Outcome::failed(kInvalidField);
  const std::size_t length = call.number<std::uint16_t>(7);
  if (length == 0) return Outcome::good();
  if (length < kHeaderBytes || length > call.data.size() || length > call.buffer.size()) {
    return Outcome::failed(kParameterListLength);
  }
  const std::span<std::byte> list = call.buffer.first(length);
  if (!call.data.get(list, 0)) return Outcome::failed(kInternalFailure);
  const std::size_t descriptor_bytes = load<std::uint16_t>(&list[2]);
  if (descriptor_bytes > length - kHeaderBytes) return Outcome::failed(kParameterListLength);
  const std::size_t count = descriptor_bytes / kDescriptorBytes;
  if (count > kUnmapDescriptorsMax) return Outcome::failed(kInvalidParameter);
  const auto blocks_of = [&](std::size_t at) -> Blocks {
    const std::byte* descriptor = &list[kHeaderBytes + at * kDescriptorBytes];
    return {.first = load<std::uint64_t>(descriptor), .count = load<std::uint32_t>(descriptor + 8)};
  };
  // All or nothing, as far as the command itself can be wrong.
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < count; ++at) {
    if (!is_inside(blocks_of(at))) return Outcome::failed(kOutOfRange);
    sum += blocks_of(at).count;
  }
  if (sum > kUnmapBlocksMax) return Outcome::failed(kInvalidParameter);
  for (std::size_t at = 0; at < count; ++at) {
    const Blocks blocks = blocks_of(at);
    if (blocks.count == 0) continue;
    const int error = content_->discard(blocks.first * kBlockBytes, blocks.count * kBlockBytes);
    if (error != 0) return written(error);
  }
  return Outcome::good();
}

Outcome Disk::write_same(const Call& call, Blocks blocks) const {
  const bool wants_unmap = (call.byte(1) & 0x08) != 0;
  const bool has_no_block = call.byte(0) == kWriteSame16 && (call.byte(1) & 0x01) != 0;
  // Neither anchors nor blocks that hold their own address.
  if ((call.byte(1) & 0x16) != 0) return Outcome::failed(kInvalidField);
  if (blocks.count == 0 || blocks.count > kWriteSameBlocksMax) {
    return Outcome::failed(kInvalidField);
  }
  if (!is_inside(blocks)) return Outcome::failed(kOutOfRange);
  std::array<std::byte, kBlockBytes> block{};
  if (!has_no_block) {
    if (call.data.size() < block.size()) return Outcome::failed(kInvalidField);
    if (!call.data.get(block, 0)) return Outcome::failed(kInternalFailure);
  }
  if (!is_zero(block)) return write_pattern(call, blocks, block);
  const std::uint64_t offset = blocks.first * kBlockBytes;
  const std::uint64_t length = blocks.count * kBlockBytes;
  return written(wants_unmap ? content_->discard(offset, length)
                             : content_->write_zeroes(offset, length));
}

Outcome Disk::write_pattern(const Call& call, Blocks blocks,
                            std::span<const std::byte> block) const {
  const std::uint64_t length = blocks.count * kBlockBytes;
  const std::span<std::byte> part =
      call.buffer.first(std::min<std::uint64_t>(call.buffer.size(), length));
  for (std::size_t at = 0; at < part.size(); at += block.size()) {
    std::copy(block.begin(), block.end(), part.begin() + static_cast<std::ptrdiff_t>(at));
  }
  for (std::uint64_t done = 0; done < length;) {
    const std::size_t count = std::min<std::uint64_t>(part.size(), length - done);
    const int error = content_->write(part.first(count), blocks.first * kBlockBytes + done);
    if (error != 0) return written(error);
    done += count;
  }
  return Outcome::good();
}

}  // namespace varve::scsi
