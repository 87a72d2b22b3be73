#include "server/text_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "server/api_error.h"

namespace blockformer {
namespace {

namespace asio = boost::asio;

class TextThreadTest : public testing::Test {
 protected:
  // Has the thread do work of this name, and notes what comes of it.
  void Spawn(
      const std::string& name, const std::function<void()>& check = [] {}) {
    asio::co_spawn(io_, Run(name, check), asio::detached);
  }

  asio::awaitable<void> Run(std::string name, std::function<void()> check) {
    const auto work = [this, name] {
      EXPECT_NE(std::this_thread::get_id(), io_thread_);
      Note(name);
      if (name == "bad") throw std::runtime_error("a bad text");
      return name.size();
    };
    std::string result;
    try {
      result = std::to_string(co_await thread_.Run(kMaxWaiting, check, work));
    } catch (const std::exception& error) {
      result = error.what();
    }
    EXPECT_EQ(std::this_thread::get_id(), io_thread_);
    Note(name + " is told " + result);
  }

  void Note(const std::string& text) {
    const std::lock_guard lock(mutex_);
    log_.push_back(text);
  }

  static constexpr size_t kMaxWaiting = 3;

  TextThread thread_;
  asio::io_context io_;
  std::thread::id io_thread_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::vector<std::string> log_;
};

// Nobody waits for what came after.
TEST_F(TextThreadTest, EachIsToldBeforeTheNextBegins) {
  for (const char* name : {"a", "bad", "ccc"}) Spawn(name);
  io_.run();
  EXPECT_THAT(log_, testing::ElementsAre("a", "a is told 1", "bad", "bad is told a bad text", "ccc",
                                         "ccc is told 3"));
}

TEST_F(TextThreadTest, WhatIsNoLongerWantedIsNotBegun) {
  bool is_wanted = true;
  Spawn("a", [&] { is_wanted = false; });
  Spawn("b", [&] {
    if (!is_wanted) throw std::runtime_error("nobody wants it");
  });
  Spawn("c");
  io_.run();
  EXPECT_THAT(log_, testing::ElementsAre("a", "a is told 1", "b is told nobody wants it", "c",
                                         "c is told 1"));
}

TEST_F(TextThreadTest, TooManyAreRefused) {
  for (int i = 0; i < 5; ++i) Spawn("a");
  io_.run();
  EXPECT_EQ(std::ranges::count(log_, "a"), 4);
  EXPECT_EQ(std::ranges::count(log_, "a is told 3 long bodies wait to be read"), 1);
  Spawn("b");
  io_.restart();
  io_.run();
  EXPECT_EQ(log_.back(), "b is told 1");
}

// As when the server ends: the one under way is waited for, the others are dropped.
TEST_F(TextThreadTest, EndsWithSomeWaiting) {
  for (int i = 0; i < 3; ++i) Spawn("a");
  io_.run_one();
  io_.run_one();
  thread_.Join();
}

}  // namespace
}  // namespace blockformer
