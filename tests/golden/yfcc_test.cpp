// YFCC100M: the epipolar geometry of pairs, and the pair files that the reference wrote.
#include "data/yfcc/yfcc.h"

#include "tests/folder.h"
#include "tests/golden/golden.h"

namespace cairn::golden {

TEST_CASE("essential matrices, residuals and labels are the reference's") {
  check_files(".residual", [](const TensorFile& file, Report& report) {
    const double threshold = number(file.metadata, "threshold", 0.01);
    for (const auto& key : before(file, ".residual")) {
      report.begin(key);
      const auto get = [&](const char* name) { return find(file, key + name); };
      const auto c0 = YfccCalibration::from_tensor(get(".calib0"), key);
      const auto c1 = YfccCalibration::from_tensor(get(".calib1"), key);
      const auto e = essential_matrix(c0, c1);
      report.compare("E", Tensor::from({3, 3}, std::vector<double>(e.begin(), e.end())), get(".E"),
                     1e-12);
      const Tensor residuals = epipolar_residuals(c0, c1, get(".keypoints0"), get(".keypoints1"));
      report.compare("residual", residuals, get(".residual"), 1e-9);
      const auto labels = get(".label").to_vector();
      double wrong = 0;
      for (size_t i = 0; i < labels.size(); ++i)
        wrong += (residuals.data<double>()[i] < threshold) != (labels[i] != 0);
      report.compare("labels that differ", wrong, 0);
    }
  });
}

TEST_CASE("the pair files are those that the reference made") {
  namespace fs = std::filesystem;
  const fs::path raw = folder() / "yfcc/raw", golden = folder() / "yfcc/processed";
  if (!fs::is_directory(raw) || !fs::is_directory(golden)) {
    std::printf("%-34s absent, skipped\n", "yfcc/processed");
    return;
  }
  const auto files_below = [](const fs::path& folder) {
    std::set<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      if (entry.is_regular_file()) files.insert(fs::relative(entry.path(), folder));
    return files;
  };
  Report report("yfcc/processed");
  const test::Folder out;
  for (const YfccPart& part : prepare_yfcc(raw, out.path, {}))
    for (const std::string& problem : part.problems) report.fail(problem);
  CHECK(files_below(out.path) == files_below(golden));
  for (const std::string& name : files_below(golden)) {
    report.begin(name);
    const NpzArchive ours = read_npz(out / name), theirs = read_npz(golden / name);
    REQUIRE(ours.size() == theirs.size());
    for (const auto& [key, entry] : theirs) {
      REQUIRE(ours.contains(key));
      if (const auto* text = std::get_if<std::string>(&entry))
        CHECK(std::get<std::string>(ours.at(key)) == *text);
      else
        report.compare(key, std::get<Tensor>(ours.at(key)), std::get<Tensor>(entry), 1e-12);
    }
  }
  report.print();
}

}  // namespace cairn::golden
