// The scenes of each phase in OANet's split of YFCC100M, as Open-UCN lists them.
#include "data/yfcc/yfcc.h"

namespace cairn {

const std::vector<std::string>& yfcc_scenes(const std::string& phase) {
  static const std::vector<std::string> train = {"grand_central_terminal_new_york",
                                                 "florence_cathedral_dome_interior_1",
                                                 "mount_rushmore",
                                                 "st_peters_square",
                                                 "colosseum_interior",
                                                 "london_bridge_1",
                                                 "brandenburg_gate",
                                                 "st_peters_basilica_interior_2",
                                                 "sagrada_familia_1",
                                                 "louvre",
                                                 "pieta_michelangelo",
                                                 "lincoln_memorial_statue",
                                                 "big_ben_2",
                                                 "st_vitus_cathedral",
                                                 "old_town_square_prague_clock",
                                                 "westminster_abbey_1",
                                                 "pantheon_exterior",
                                                 "taj_mahal_entrance",
                                                 "piazza_san_marco",
                                                 "ruins_of_st_pauls",
                                                 "united_states_capitol_rotunda",
                                                 "grand_place_brussels_1",
                                                 "paris_opera_1",
                                                 "taj_mahal",
                                                 "temple_nara_japan",
                                                 "statue_of_liberty_1",
                                                 "lincoln_memorial",
                                                 "sistine_chapel_ceiling_1",
                                                 "trevi_fountain_2",
                                                 "petra_jordan",
                                                 "florence_cathedral_dome_interior_2",
                                                 "milan_cathedral",
                                                 "notre_dame_rosary_window",
                                                 "united_states_capitol",
                                                 "temple_kyoto_japan",
                                                 "london_bridge_2",
                                                 "old_town_square_prague",
                                                 "florence_cathedral_side",
                                                 "st_peters_basilica_interior_1",
                                                 "sagrada_familia_2",
                                                 "blue_mosque_interior_1",
                                                 "sagrada_familia_3",
                                                 "london_bridge_3",
                                                 "vatican_museum_ceiling",
                                                 "colosseum_exterior",
                                                 "st_pauls_cathedral",
                                                 "grand_place_brussels_3",
                                                 "westminster_abbey_2",
                                                 "piazza_della_signoria",
                                                 "via_condotti",
                                                 "natural_history_museum_london",
                                                 "grand_place_brussels_2",
                                                 "paris_opera_2",
                                                 "palace_of_westminster",
                                                 "palazzo_pubblico",
                                                 "piazza_dei_miracoli",
                                                 "pantheon_interior",
                                                 "statue_of_liberty_2",
                                                 "western_wall_jerusalem",
                                                 "national_gallery_london",
                                                 "sistine_chapel_ceiling_2",
                                                 "hagia_sophia_interior",
                                                 "pike_place_market",
                                                 "trevi_fountain_1"};
  static const std::vector<std::string> val = {
      "palace_of_versailles_chapel", "blue_mosque_interior_2", "big_ben_1", "british_museum"};
  static const std::vector<std::string> test = {"buckingham_palace", "notre_dame_front_facade",
                                                "reichstag", "sacre_coeur"};
  if (phase == "train") return train;
  if (phase == "val") return val;
  require(phase == "test", ErrorId::argument, "yfcc", "there is no phase '", phase,
          "'; there is train, val, test");
  return test;
}

}  // namespace cairn
