#include "engine/json_constraint.h"

#include <utility>

namespace blockformer {
namespace {

class JsonText : public TokenConstraint {
 public:
  explicit JsonText(std::shared_ptr<JsonTokenMasks> masks)
      : masks_(std::move(masks)), place_(masks_->Begin()) {}

  std::span<const uint64_t> Allowed() override {
    if (ended_) return {};
    allowed_ = masks_->MaskAt(&place_);
    return *allowed_;
  }

  void Take(int32_t id) override { ended_ = ended_ || !masks_->Take(id, &place_); }

 private:
  std::shared_ptr<JsonTokenMasks> masks_;
  JsonTokenMasks::Place place_;
  std::shared_ptr<const TokenMask> allowed_;
  bool ended_ = false;
};

}  // namespace

TokenConstraintFactory JsonConstraint(std::shared_ptr<JsonTokenMasks> masks) {
  return [masks = std::move(masks)] { return std::make_unique<JsonText>(masks); };
}

}  // namespace blockformer
