#include "scsi/pages.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "scsi/big_endian.h"
#include "sha256/sha256.h"

namespace varve::scsi {

namespace {

constexpr std::array<std::uint8_t, 6> kDataPages = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
constexpr std::array<std::uint8_t, 3> kModePages = {0x01, 0x08, 0x0a};
// As overlaybd's clients know the disks that its daemon serves.
constexpr std::string_view kVendor = "LIO-ORG ";
constexpr std::string_view kProduct = "TCMU device     ";
constexpr std::string_view kRevision = "0002";
// What a page of vital product data can hold of a name.
constexpr std::size_t kNameBytesMax = 200;

void append(Bytes& bytes, std::string_view text) {
  for (const char one : text) bytes.push_back(static_cast<std::byte>(one));
}

template <typename Number>
void append_number(Bytes& bytes, Number number) {
  bytes.resize(bytes.size() + sizeof number);
  store<Number>(bytes.data() + bytes.size() - sizeof number, number);
}

void append_byte(Bytes& bytes, unsigned value) { bytes.push_back(static_cast<std::byte>(value)); }

Bytes page_of(std::uint8_t number, const Bytes& content) {
  Bytes page;
  append_byte(page, 0);  // a disk
  append_byte(page, number);
  append_number(page, static_cast<std::uint16_t>(content.size()));
  page.insert(page.end(), content.begin(), content.end());
  return page;
}

void append_designator(Bytes& bytes, unsigned code_set, unsigned type, const Bytes& designator) {
  append_byte(bytes, code_set);
  append_byte(bytes, type);
  append_byte(bytes, 0);
  append_byte(bytes, static_cast<unsigned>(designator.size()));
  bytes.insert(bytes.end(), designator.begin(), designator.end());
}

// 16 bytes that no other disk has: the number of the kernel's target as their maker, then a sum of
// the serial number.
Bytes registered_name(const std::string& serial) {
  const std::string digits = "6001405" + sha256(std::as_bytes(std::span(serial))).substr(0, 25);
  const auto value = [](char digit) {
    return static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  };
  Bytes name;
  for (std::size_t at = 0; at < digits.size(); at += 2) {
    append_byte(name, value(digits[at]) << 4 | value(digits[at + 1]));
  }
  return name;
}

Bytes identification(const std::string& serial) {
  Bytes content;
  Bytes vendor;
  append(vendor, kVendor);
  append(vendor, serial);
  append_designator(content, 2, 1, vendor);
  append_designator(content, 1, 3, registered_name(serial));
  return content;
}

Bytes block_limits(bool is_read_only) {
  Bytes content(60);
  content[0] = std::byte{1};  // WRITE SAME of no blocks is refused
  store<std::uint32_t>(&content[4], kTransferBlocksMax);
  store<std::uint32_t>(&content[8], kTransferBlocksMax);
  if (is_read_only) return content;
  store<std::uint32_t>(&content[16], kUnmapBlocksMax);
  store<std::uint32_t>(&content[20], kUnmapDescriptorsMax);
  store<std::uint64_t>(&content[32], kWriteSameBlocksMax);
  return content;
}

Bytes characteristics() {
  Bytes content(60);
  store<std::uint16_t>(content.data(), 1);  // nothing rotates
  return content;
}

Bytes provisioning(bool is_read_only) {
  Bytes content(4);
  // UNMAP, and WRITE SAME that unmaps, leave zeros.
  if (!is_read_only) content[1] = std::byte{0xe4};
  return content;
}

Bytes mode_page(std::uint8_t number, PageControl control, bool is_read_only) {
  Bytes page;
  switch (number) {
    case 0x01:  // recovery from errors
      page.resize(12);
      break;
    case 0x08:  // caching
      page.resize(20);
      // What was written is durable after SYNCHRONIZE CACHE.
      if (!is_read_only) page[2] = std::byte{0x04};
      break;
    case 0x0a:  // control
      page.resize(12);
      page[2] = std::byte{0x02};  // descriptors of sense data are not used; nothing is logged
      store<std::uint16_t>(&page[8], 0xffff);  // may be busy for as long as it takes
      break;
    default:
      return page;
  }
  if (control == PageControl::kChangeable) std::fill(page.begin(), page.end(), std::byte{0});
  page[0] = static_cast<std::byte>(number);
  page[1] = static_cast<std::byte>(page.size() - 2);
  return page;
}

}  // namespace

Bytes standard_inquiry() {
  Bytes answer(8);
  answer[2] = std::byte{0x05};  // the third set of primary commands
  answer[3] = std::byte{0x02};
  answer[4] = std::byte{31};    // bytes that follow
  answer[7] = std::byte{0x02};  // commands are queued
  append(answer, kVendor);
  append(answer, kProduct);
  append(answer, kRevision);
  return answer;
}

Bytes vital_product_data(std::uint8_t page, const Identity& identity) {
  const std::string serial = identity.serial.substr(0, kNameBytesMax);
  switch (page) {
    case 0x00: {
      Bytes list;
      for (const std::uint8_t number : kDataPages) append_byte(list, number);
      return page_of(page, list);
    }
    case 0x80: {
      Bytes content;
      append(content, serial);
      return page_of(page, content);
    }
    case 0x83: return page_of(page, identification(serial));
    case 0xb0: return page_of(page, block_limits(identity.is_read_only));
    case 0xb1: return page_of(page, characteristics());
    case 0xb2: return page_of(page, provisioning(identity.is_read_only));
    default: return {};
  }
}

Bytes mode_pages(std::uint8_t page, PageControl control, bool is_read_only) {
  if (page != kAllModePages) return mode_page(page, control, is_read_only);
  Bytes all;
  for (const std::uint8_t number : kModePages) {
    const Bytes one = mode_page(number, control, is_read_only);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

std::byte mode_parameter(bool is_read_only) {
  // Writes that must be durable when they are answered are known.
  return is_read_only ? std::byte{0x80} : std::byte{0x10};
}

}  // namespace varve::scsi
