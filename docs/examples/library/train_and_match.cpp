// Trains a small network on a folder of photos and matches two of them with it:
//
//   train_and_match FOLDER A B
//
//   find_package(cairn REQUIRED COMPONENTS shared)
//   target_link_libraries(train_and_match cairn::cairn)
#include <cairn.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: train_and_match FOLDER A B\n", 2;
  try {
    cairn::ucn::train(argv[1], "run", R"({"iterations": 20, "crop": 64, "outputs": 16})",
                      [](const cairn_training_step& s) {
                        if (s.iteration % 10 == 0)
                          std::cout << "step " << s.iteration << " of " << s.iterations << ", loss "
                                    << s.loss << '\n';
                        return true;
                      });

    for (const std::string model : {"run/weights.safetensors", "ucn-f"}) {
      const cairn::ucn::Matcher matcher({{"model", model}, {"max-keypoints", "500"}});
      const auto matches = matcher.match(argv[2], argv[3]);
      std::cout << model << ": " << matches.size() << " matches, of which " << matches.inliers()
                << " agree\n";
      matches.write("matches.csv");
    }
  } catch (const cairn::ucn::Failure& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
