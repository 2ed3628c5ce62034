// Notes on ublk devices: what a successor reads is what was written, and nothing else is one.
#include "ublk/note.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "../temporary_directory.h"
#include "transport/transport.h"

namespace varve::test {

namespace {

using Stage = ublk::Note::Stage;

class UblkNoteTest : public TemporaryDirectory {
 protected:
  void put(const std::string& name, const std::string& text) {
    std::ofstream(at("ublk/" + name)) << text;
  }
};

}  // namespace

TEST_F(UblkNoteTest, ASuccessorReadsWhatWasWritten) {
  const ublk::Notes notes(at("ublk"));
  EXPECT_TRUE(notes.all().empty());
  ublk::Note note{.cookie = ublk::random_cookie(), .is_read_only = true, .note = "{\"a\":1}"};
  for (const Stage stage : {Stage::kMade, Stage::kAttached, Stage::kLetGo, Stage::kEnding}) {
    note.stage = stage;
    notes.write(note);
    const auto read = ublk::Notes(at("ublk")).all();
    ASSERT_EQ(read.size(), 1U);
    EXPECT_EQ(read[0].cookie, note.cookie);
    EXPECT_EQ(read[0].stage, stage);
    EXPECT_TRUE(read[0].is_read_only);
    EXPECT_EQ(read[0].note, note.note);
  }
  notes.remove(note.cookie);
  EXPECT_TRUE(std::filesystem::is_empty(at("ublk")));
}

TEST_F(UblkNoteTest, WhatIsNoNoteIsNotTaken) {
  const ublk::Notes notes(at("ublk"));
  const ublk::Note note{.cookie = 1, .stage = Stage::kAttached};
  notes.write(note);
  const std::string text = ublk::encoded(note);
  // Of another cookie than its name says; half a note; another version's; no JSON.
  put("0000000000000002.json", text);
  put("0000000000000001.json.new", text.substr(0, text.size() / 2));
  put("0000000000000003.json", "");
  std::string later = text;
  later.replace(later.find("\"version\":1"), 11, "\"version\":2");
  EXPECT_FALSE(ublk::parse_note(later));
  EXPECT_FALSE(ublk::parse_note("[]"));
  EXPECT_FALSE(ublk::parse_note(text.substr(1)));
  EXPECT_EQ(notes.all().size(), 1U);
  notes.remove_unfinished();
  EXPECT_FALSE(exists("ublk/0000000000000001.json.new"));
  EXPECT_EQ(notes.all().size(), 1U);
}

TEST_F(UblkNoteTest, APlaceThatCannotBeWrittenIsSaid) {
  const ublk::Notes notes(at("none/ublk"));
  EXPECT_THROW(notes.write({.cookie = 1}), transport::TransportError);
}

TEST(UblkCookieTest, NoTwoAreTheSame) {
  EXPECT_NE(ublk::random_cookie(), ublk::random_cookie());
}

}  // namespace varve::test
