// Runs a built program and takes what it printed.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace trustline {

struct ProgramResult {
  int exit_status = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

// A program that runs. The destructor waits for its end.
class RunningProgram {
 public:
  // `arguments[0]` is the program's path. `environment` holds NAME=VALUE; nothing else is inherited but PATH.
  explicit RunningProgram(const std::vector<std::string>& arguments, std::vector<std::string> environment = {}) {
    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    environment.emplace_back("PATH=/usr/bin:/bin");
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (const std::string& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
    envp.push_back(nullptr);
    const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    out_ = out[0];
    err_ = err[0];
    if (error != 0) throw std::runtime_error("cannot run " + arguments[0]);
  }
  ~RunningProgram() { Wait(); }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  pid_t pid() const { return pid_; }

  // Reads what it prints until it ends.
  ProgramResult Wait() {
    if (pid_ <= 0) return result_;
    pollfd descriptors[] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
    std::string* texts[] = {&result_.out, &result_.err};
    for (int open = 2; open > 0;) {
      if (poll(descriptors, 2, -1) < 0) continue;
      for (int i = 0; i < 2; ++i) {
        if (descriptors[i].fd < 0 || descriptors[i].revents == 0) continue;
        char buffer[4096];
        const ssize_t count = read(descriptors[i].fd, buffer, sizeof(buffer));
        if (count > 0) {
          texts[i]->append(buffer, static_cast<size_t>(count));
        } else {
          close(descriptors[i].fd);
          descriptors[i].fd = -1;
          --open;
        }
      }
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    result_.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result_;
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  ProgramResult result_;
};

inline ProgramResult RunProgram(const std::vector<std::string>& arguments, std::vector<std::string> environment = {}) {
  return RunningProgram(arguments, std::move(environment)).Wait();
}

}  // namespace trustline
