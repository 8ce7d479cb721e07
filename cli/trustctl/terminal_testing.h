// The built program at a terminal: a pseudoterminal at which the test answers what is asked.
#pragma once

#include <fcntl.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trustline {

struct TerminalResult {
  int exit_status = -1;  // -1: ended by a signal
  std::string screen;    // everything that stood there, also what was typed and shown
};

// Types each answer once its question has appeared after the one before; an answer of one character 3 is Ctrl-C.
inline TerminalResult RunAtTerminal(const std::vector<std::string>& arguments, std::vector<std::string> environment,
                                    const std::vector<std::pair<std::string, std::string>>& answers) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  environment.emplace_back("PATH=/usr/bin:/bin");
  std::vector<char*> envp;
  for (const std::string& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
  envp.push_back(nullptr);
  int terminal = -1;
  int program_end = -1;
  char program_end_name[64];
  if (openpty(&terminal, &program_end, program_end_name, nullptr, nullptr) != 0)
    throw std::runtime_error("openpty failed");
  fcntl(terminal, F_SETFD, FD_CLOEXEC);
  fcntl(program_end, F_SETFD, FD_CLOEXEC);
  // The first terminal that the leader of a session opens becomes its own, with Ctrl-C.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, program_end_name, O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(program_end);
  if (error != 0) throw std::runtime_error("cannot run " + arguments[0]);
  TerminalResult result;
  size_t answered = 0;
  size_t seen = 0;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(terminal, buffer, sizeof(buffer));
    if (count <= 0) break;  // EIO once the program has ended
    result.screen.append(buffer, static_cast<size_t>(count));
    while (answered < answers.size()) {
      const size_t at = result.screen.find(answers[answered].first, seen);
      if (at == std::string::npos) break;
      seen = at + answers[answered].first.size();
      const std::string& answer = answers[answered].second;
      if (write(terminal, answer.data(), answer.size()) < 0) throw std::runtime_error("the terminal is gone");
      ++answered;
    }
  }
  close(terminal);
  int status = 0;
  waitpid(pid, &status, 0);
  result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

}  // namespace trustline
